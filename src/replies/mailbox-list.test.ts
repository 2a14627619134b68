import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../test/support/service.ts';
import { type WatchGround, watchGround } from '../../test/support/watch-ground.ts';
import { listMailboxes } from './mailbox-list.ts';

let ground: WatchGround;
before(async () => {
  ground = await watchGround();
});
after(() => ground.close());

async function states(): Promise<string[]> {
  return (await listMailboxes(ground.sql)).map(({ state }) => state);
}

describe('the list of mailboxes', () => {
  it('says which are watched, which wait and which are paused', async () => {
    const [grant] = await ground.mailboxes(1);
    assert.deepEqual(await states(), ['waiting']);
    const node = ground.node();
    await eventually('watched', async () => ((await states())[0] === 'watched' ? true : undefined));
    const [watched] = await listMailboxes(ground.sql);
    assert.deepEqual([watched?.grantId, watched?.nodeId, watched?.failures], [grant, node.nodeId, 0]);
    await ground.sql`update grants set state = 'expired' where id = ${grant ?? ''}`;
    assert.deepEqual(await states(), ['paused']);
    await ground.sql`update open_mailboxes set active_at = now() - interval '100 days'`;
    assert.deepEqual(await states(), []);
    await node.stop();
  });
});
