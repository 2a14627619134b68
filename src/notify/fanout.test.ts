import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, payloadOf, until } from '../../test/support/notify-run.ts';

test('facts that nobody subscribes to vanish, those of a paused destination are held', async (t) => {
  const { ground, start, receiver, rested, fannedOut } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url, { triggers: ['message.link_clicked'] });
  await ground.destination(`${target.origin}/paused`, { status: 'paused' });
  await ground.destination(`${target.origin}/failed`, { status: 'failed', triggers: ['message.opened'] });
  const message = await ground.message(['https://a.test']);
  const notify = start();
  await ground.happen(message, {}, { link: 0 });
  notify.wakeFanout();
  await target.arrived(1);
  await rested('delivered', 1);
  assert.equal((await rested('held', 3)).length, 3);
  assert.deepEqual(
    target.deliveries.map((request) => request.path),
    ['/hook'],
  );
  await ground.sql`delete from destinations where address like '%paused' or address like '%failed'`;
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await fannedOut();
  const notifications = await ground.sql`select from notifications`;
  assert.equal(notifications.length, 2);
});

test('above the guard notifications coalesce, and the last state arrives', async (t) => {
  const { ground, start, receiver, rested, fannedOut } = await notifyRun(t);
  await ground.setting('max_notifications_per_minute', 10);
  const target = await receiver();
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  const message = await ground.message(['https://a.test', 'https://b.test']);
  const others = await ground.message(['https://a.test']);
  const clicks = Array.from({ length: 100 }, (_, at) => ({ link: at % 2, at: clock.ms }));
  await ground.happen(message, ...clicks.slice(0, 60));
  await ground.happen(others, { link: 0, at: clock.ms });
  notify.wakeFanout();
  await target.arrived(11); // ten of the one message and one of the other
  await ground.happen(message, ...clicks.slice(60));
  notify.wakeFanout();
  await fannedOut();
  const waiting = await ground.sql<{ sequence: number }[]>`
    select n.sequence from pending_deliveries p join notifications n on n.id = p.notification_id
    where p.claimed_until is null`;
  assert.deepEqual([...waiting], [{ sequence: 99 }]);
  clock.ms += 6_000; // a tenth of a minute
  notify.wakeDeliver();
  const all = await target.arrived(12);
  assert.deepEqual(payloadOf(all[11]).data.object.link_data, [
    { count: 50, url: 'https://a.test' },
    { count: 50, url: 'https://b.test' },
  ]);
  await rested('delivered', 12);
  assert.equal((await ground.sql`select from coalescing_notifications`).length, 0);
  assert.equal(notify.counts.coalesced, 90);

  // Claimed is closed: what comes later is told by another notification.
  await ground.happen(message, { link: 0, at: clock.ms });
  notify.wakeFanout();
  await until('a new one waits', async () => (await ground.sql`select from coalescing_notifications`).length === 1);
  clock.ms += 6_000;
  notify.wakeDeliver();
  const last = (await target.arrived(13))[12];
  assert.deepEqual(payloadOf(last).data.object.link_data.at(0), { count: 51, url: 'https://a.test' });

  // A minute later the guard is open again.
  clock.ms += 61_000;
  await ground.happen(message, { link: 1, at: clock.ms });
  notify.wakeFanout();
  await target.arrived(14);
  assert.equal(target.deliveries.length, 14);
});
