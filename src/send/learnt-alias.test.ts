import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Called, type Sender, startSender } from '../../test/support/sender.ts';
import type { SendOutcome } from '../providers/provider.ts';

let sender: Sender;
/** Instead of what the practice mailbox would say. */
let outcome: SendOutcome | null;
const running = new Set<Promise<unknown>>();

before(async () => {
  sender = await startSender((deps) => {
    const { practice } = deps.providers;
    const send: typeof practice.send = async (...given) => outcome ?? (await practice.send(...given));
    return { ...deps, running, providers: { ...deps.providers, practice: { ...practice, send } } };
  });
});
beforeEach(async () => {
  outcome = null;
  await sender.database.sql`update grants set aliases = '{}'`;
});
after(async () => {
  await sender.close();
});

async function sendFrom(email: string): Promise<Called> {
  const mail = { to: [{ email: 'kim@example.com' }], from: [{ email }], subject: 'x', body: 'x' };
  const answer = await sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send`, mail);
  await Promise.all(running);
  return answer;
}

async function aliases(): Promise<unknown> {
  return (await sender.call('GET', `/v3/grants/${sender.grant.id}`)).at('data.email_aliases');
}

describe('an address that a mail was sent from', () => {
  it('is shown with the grant from then on', async () => {
    assert.equal((await sendFrom(sender.grant.email)).status, 200);
    assert.equal(await aliases(), undefined);
    assert.equal((await sendFrom('Zoe@practice.test')).status, 200);
    assert.deepEqual(await aliases(), ['zoe@practice.test']);
    await sendFrom('zoe@practice.test');
    await sendFrom('kim@practice.test');
    assert.deepEqual(await aliases(), ['zoe@practice.test', 'kim@practice.test']);
  });

  it('is not learnt where nothing was sent', async () => {
    outcome = { kind: 'rejected', reason: 'not from there', refused: [] };
    assert.notEqual((await sendFrom('zoe@practice.test')).status, 200);
    outcome = { kind: 'unknown', reason: 'it said nothing' };
    assert.notEqual((await sendFrom('zoe@practice.test')).status, 200);
    assert.equal(await aliases(), undefined);
  });
});
