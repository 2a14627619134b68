import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loopbackNetwork } from '../../test/support/smtp-ground.ts';
import { type MailNetwork, type Reachable, reachServer } from './mail-server.ts';

async function reach(network: MailNetwork, host: string): Promise<Reachable> {
  const reached = await reachServer(network, host);
  assert.ok(!('kind' in reached));
  return reached;
}

describe('the way to a mail server', () => {
  it('trusts the same for every server of a network, put together once', async () => {
    const network = loopbackNetwork();
    const [one, other] = [await reach(network, 'receiver.test'), await reach(network, 'other.test')];
    assert.equal(one.tls.secureContext, other.tls.secureContext);
    assert.deepEqual([one.tls.servername, other.tls.servername], ['receiver.test', 'other.test']);
    const elsewhere = await reach(loopbackNetwork({ ca: null }), 'receiver.test');
    assert.notEqual(elsewhere.tls.secureContext, one.tls.secureContext);
  });

  it('names no server where the host is an address', async () => {
    assert.equal((await reach(loopbackNetwork(), '127.0.0.1')).tls.servername, undefined);
  });
});
