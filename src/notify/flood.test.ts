import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyGround } from '../../test/support/notify-ground.ts';
import type { EventFact, Fact } from '../db/outbox.ts';
import { ensurePartitions } from '../db/partitions.ts';
import type { Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { floodOf } from './flood.ts';

const WEEK_MS = 7 * 24 * 3_600_000;

test('the guard looks at no partition older than the message, and at no trigger that has no events', async (t) => {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const { sql, app } = ground;
  await ensurePartitions(sql, Date.now() - 30 * WEEK_MS, 20);
  const messageId = await ground.message();
  await ground.happen(messageId, {}, {}, {});
  const event: EventFact = {
    app,
    trigger: 'message.opened',
    messageId,
    sequence: 2,
    linkCounts: null,
    happenedAt: new Date(),
  };
  const other: Fact = { ...event, trigger: 'message.send_failed' };
  const grant: Fact = { ...event, trigger: 'grant.expired', messageId: null, sequence: null, subject: ground.grantId };
  await transaction(sql, async (tx) => {
    const before = await scansOf(tx);
    assert.deepEqual([...(await floodOf(tx, [event, other, grant], () => 2))], [event]);
    const after = await scansOf(tx);
    const scanned = [...after].filter(([name, scans]) => scans > (before.get(name) ?? 0)).map(([name]) => name);
    assert.ok(scanned.length > 0 && scanned.length <= 6, scanned.join(', ')); // this week, yesterday's and four ahead
  });
});

/** How often this connection looked into each partition of the events. */
async function scansOf(tx: Tx): Promise<Map<string, number>> {
  const rows = await tx<{ name: string; scans: number }[]>`
    select relname as name, (coalesce(idx_scan, 0) + coalesce(seq_scan, 0))::integer as scans
    from pg_stat_xact_user_tables where starts_with(relname, 'events_w')`;
  return new Map(rows.map(({ name, scans }) => [name, scans]));
}
