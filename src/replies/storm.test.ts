import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { eventually } from '../../test/support/service.ts';
import { SHORT, type WatchGround, watchGround } from '../../test/support/watch-ground.ts';

const MAILBOXES = 2_000;
const PER_SECOND = 250;
const AT_ONCE = 20;

let ground: WatchGround;
before(async () => {
  ground = await watchGround();
});
after(async () => {
  await ground.close();
});

it('2,000 mailboxes whose server cuts them all, twice, come back within the rate and the bound of logins', async (t) => {
  const { server } = ground;
  server.loginMs = 5;
  const ids = await ground.mailboxes(MAILBOXES);
  const node = ground.node({
    connects: { perSecond: PER_SECOND, atOnce: AT_ONCE },
    times: { ...SHORT, goodLifeMs: 500 },
  });
  const back = async (): Promise<number> => {
    const from = performance.now();
    await eventually('all are back', () => (server.connected.length === MAILBOXES ? true : undefined), 30_000);
    return performance.now() - from;
  };
  const first = await back();
  server.cut();
  assert.equal(server.connected.length, 0);
  await eventually('half are back', () => (server.connected.length >= MAILBOXES / 2 ? true : undefined), 30_000);
  server.cut();
  const storm = await back();
  t.diagnostic(`2,000 opened in ${Math.round(first)} ms; after the second cut in ${Math.round(storm)} ms`);

  assert.ok(server.mostAtOnce <= AT_ONCE, `${server.mostAtOnce} logins at once`);
  const at = server.logins.map((login) => login.at);
  const mostInASecond = Math.max(
    ...at.map((from, index) => at.slice(index).filter((later) => later < from + 1_000).length),
  );
  // Starts that were permitted one by one come together where the machine was busy with something else for a moment.
  assert.ok(mostInASecond <= PER_SECOND * 1.6, `${mostInASecond} starts in a second`);
  assert.ok(storm < (MAILBOXES / PER_SECOND) * 1_000 * 2 + 3_000, `back after ${storm} ms`);
  assert.equal(new Set(server.connected).size, MAILBOXES);

  server.deliver(ids[7] ?? '', 'after the storm');
  await eventually('recorded', async () => ((await ground.seen()).length === 1 ? true : undefined));
  const from = performance.now();
  await node.stop();
  assert.ok(performance.now() - from < 5_000, `stopped after ${performance.now() - from} ms`);
  assert.equal(server.connected.length, 0);
  assert.equal((await ground.sql`select from watches where node_id is not null`).length, 0);
});
