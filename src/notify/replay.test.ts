import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { until } from '../../test/support/notify-run.ts';
import { rest } from '../../test/support/resting.ts';
import { transaction } from '../db/transaction.ts';
import { uuidv7 } from '../ids.ts';
import { type Claim, claim } from './claiming.ts';
import { settle } from './pending.ts';
import { replay, retryDelivery } from './replay.ts';
import { readSubscribers } from './subscribers.ts';

const MINUTE_MS = 60_000;

async function grounded(t: { after(release: () => Promise<void>): void }): Promise<NotifyGround & { hook: string }> {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  return { ...ground, hook: (await ground.destination('https://receiver.test/hook')).id };
}

/** The queue in the order in which it is served. */
async function queueOf({
  sql,
}: NotifyGround): Promise<{ id: string; round: number; attempts: number; due: boolean }[]> {
  return [
    ...(await sql<{ id: string; round: number; attempts: number; due: boolean }[]>`
      select notification_id as id, round, attempts, next_attempt_at <= now() as due from pending_deliveries
      order by next_attempt_at, notification_id`),
  ];
}

test('what is undelivered of a time range is queued anew, oldest first and due at once', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const now = Date.now();
  const [early, held, exhausted, delivered, stopped, late] = await rest(ground, hook, [
    { at: now - 60 * MINUTE_MS },
    { at: now - 50 * MINUTE_MS },
    { at: now - 40 * MINUTE_MS, state: 'exhausted', round: 2, attempts: 8 },
    { at: now - 30 * MINUTE_MS, state: 'delivered', attempts: 1 },
    { at: now - 20 * MINUTE_MS, state: 'stopped', attempts: 1 },
    { at: now - 10 * MINUTE_MS },
  ]);
  const told: string[] = [];
  const answer = await replay({ sql, onDeliveries: () => told.push('woken') }, app, hook, {
    since: now - 50 * MINUTE_MS,
    until: now - 10 * MINUTE_MS,
  });
  assert.deepEqual(answer, { kind: 'replayed', queued: 3, gone: 0, left: [], next: null });
  assert.deepEqual(await queueOf(ground), [
    { id: held, round: 1, attempts: 0, due: true },
    { id: exhausted, round: 3, attempts: 0, due: true },
    { id: stopped, round: 1, attempts: 0, due: true },
  ]);
  const left = await sql`select notification_id from deliveries order by notification_id`;
  assert.deepEqual(
    left.map((row) => row.notification_id),
    [early, delivered, late],
  );
  assert.deepEqual(told, ['woken']);
  // A cursor of another range begins no earlier than this one.
  const behind = { since: now - 10 * MINUTE_MS, after: uuidv7(now - 70 * MINUTE_MS) };
  assert.equal(queuedOf(await replay({ sql }, app, hook, behind)), 1);
  assert.equal((await queueOf(ground)).at(-1)?.id, late);
});

test('states and triggers choose', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const since = Date.now() - MINUTE_MS;
  const [, click, sent] = await rest(ground, hook, [
    { trigger: 'message.opened' },
    { trigger: 'message.link_clicked' },
    { trigger: 'message.link_clicked', state: 'delivered', attempts: 1 },
  ]);
  assert.equal(
    queuedOf(await replay({ sql }, app, hook, { since, states: ['delivered'], triggers: ['message.opened'] })),
    0,
  );
  assert.equal(
    queuedOf(
      await replay({ sql }, app, hook, { since, states: ['held', 'delivered'], triggers: ['message.link_clicked'] }),
    ),
    2,
  );
  assert.deepEqual((await queueOf(ground)).map(({ id }) => id).sort(), [click, sent].sort());
});

test('of a list everything that rests is queued, and for the others it says why not', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const [delivered, waiting, underWay, erased, erasedToo] = await rest(ground, hook, [
    { state: 'delivered' },
    {},
    {},
    {},
    {},
  ]);
  assert.ok(delivered && waiting && underWay && erased && erasedToo);
  const unknown = uuidv7();
  await sql`update notifications set message_id = ${uuidv7()} where id in ${sql([erased, erasedToo])}`;
  await wait(ground, hook, [waiting, erasedToo]);
  await wait(ground, hook, [underWay], true);
  const ids = [waiting, underWay, unknown, delivered, erased, erasedToo];
  assert.deepEqual(await replay({ sql }, app, hook, { ids }), {
    kind: 'replayed',
    queued: 2,
    gone: 2,
    left: [
      { id: underWay, why: 'under_way' },
      { id: unknown, why: 'unknown' },
      { id: erased, why: 'gone' },
      { id: erasedToo, why: 'gone' },
    ],
    next: null,
  });
  assert.deepEqual(
    (await queueOf(ground)).filter(({ due }) => due),
    [
      { id: waiting, round: 2, attempts: 3, due: true },
      { id: delivered, round: 1, attempts: 0, due: true },
    ].sort((a, b) => (a.id < b.id ? -1 : 1)),
  );
  // The range passes over what is gone, and says so.
  const range = await replay({ sql }, app, hook, { since: 0 });
  assert.deepEqual(range, { kind: 'replayed', queued: 0, gone: 1, left: [], next: null });
});

test('what waits for its next attempt is made due where a range asks for it, in the round it is in', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const now = Date.now();
  const since = now - 20 * MINUTE_MS;
  const all = await rest(ground, hook, [
    { at: since - 1 },
    { at: since },
    { at: since + 1, trigger: 'message.link_clicked' },
    { at: since + 2 },
    { at: since + 3 },
    { at: since + 4 },
    { at: since + 5 },
  ]);
  const [early = '', first = '', click = '', underWay = '', erased = '', lost = '', held = ''] = all;
  await sql`delete from deliveries where notification_id <> ${held}`;
  await sql`update notifications set message_id = ${uuidv7()} where id = ${erased}`;
  await wait(ground, hook, [early, first, click, erased]);
  await wait(ground, hook, [underWay, lost], true);
  await sql`
    update pending_deliveries set claimed_until = now(), next_attempt_at = now() where notification_id = ${lost}`; // due
  const due = async (): Promise<string[]> => (await queueOf(ground)).flatMap(({ id, due }) => (due ? [id] : []));
  let woken = 0;
  const deps = { sql, onDeliveries: () => void woken++ };
  assert.equal(queuedOf(await replay(deps, app, hook, { since, until: since + 5 })), 0); // not among the usual states
  assert.deepEqual([await due(), woken], [[lost], 0]);
  const some = { since, states: ['pending'], triggers: ['message.link_clicked'] } as const;
  assert.equal(queuedOf(await replay(deps, app, hook, some)), 1);
  assert.deepEqual((await due()).toSorted(), [click, lost].toSorted());
  assert.equal(queuedOf(await replay(deps, app, hook, { since, states: ['pending', 'held'] })), 2);
  assert.deepEqual((await due()).toSorted(), [click, first, held, lost].toSorted());
  assert.equal(queuedOf(await replay(deps, app, hook, { since, states: ['pending', 'held'] })), 0);
  assert.equal(woken, 2);
  assert.deepEqual(
    (await queueOf(ground)).filter(({ id }) => id === first),
    [{ id: first, round: 2, attempts: 3, due: true }],
  );
});

test('a queue longer than a call is made due bit by bit, with what rests in between', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const now = Date.now();
  const since = now - 60 * MINUTE_MS;
  const ids = await rest(
    ground,
    hook,
    Array.from({ length: 100_010 }, (_, index) => ({ at: since + index })),
  );
  const waiting = ids.filter((_, index) => index % 2 === 0);
  await sql`delete from deliveries where notification_id = any(${waiting}::uuid[])`;
  await wait(ground, hook, waiting);
  let queued = 0;
  let calls = 0;
  for (let after: string | undefined, more = true; more; calls++) {
    const answer = await replay({ sql }, app, hook, { since, states: ['pending', 'held'], after });
    assert.equal(answer.kind, 'replayed');
    if (answer.kind !== 'replayed') return;
    queued += answer.queued;
    more = answer.next !== null;
    after = answer.next ?? undefined;
  }
  assert.deepEqual([queued, calls], [100_010, 1]);
  assert.equal((await sql`select from pending_deliveries where next_attempt_at > now()`).length, 0);
});

test('of a grant that was deleted nothing is told any more, but for what is told of the grant itself', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const [opened = '', mail = '', granted = '', waiting = ''] = await rest(ground, hook, [
    {},
    { trigger: 'message.created' },
    { trigger: 'grant.deleted' },
    {},
  ]);
  await sql`
    update notifications set message_id = null, sequence = null, subject = ${ground.grantId}
    where id in ${sql([mail, granted])}`;
  await sql`delete from deliveries where notification_id = ${waiting}`;
  await wait(ground, hook, [waiting]);
  await sql`update grants set state = 'deleted', deleted_at = now()`;
  const deps = { sql };
  const ids = [opened, mail, waiting];
  assert.deepEqual(await replay(deps, app, hook, { ids }), {
    kind: 'replayed',
    queued: 0,
    gone: 3,
    left: ids.map((id) => ({ id, why: 'gone' })),
    next: null,
  });
  assert.deepEqual(await retryDelivery(deps, app, hook, opened), { kind: 'gone' });
  assert.deepEqual(await retryDelivery(deps, app, hook, waiting), { kind: 'gone' });
  const range = await replay(deps, app, hook, { since: 0, states: ['pending', 'held'] });
  assert.deepEqual(range, { kind: 'replayed', queued: 1, gone: 2, left: [], next: null });
  assert.deepEqual(
    (await queueOf(ground)).filter(({ due }) => due).map(({ id }) => id),
    [granted],
  );
});

test('nothing is queued for a destination that is not served, or is not there', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const [id] = await rest(ground, hook, [{}]);
  assert.ok(id);
  for (const status of ['paused', 'failed']) {
    await sql`update destinations set status = ${status}`;
    assert.deepEqual(await replay({ sql }, app, hook, { since: 0 }), { kind: 'not_served', status });
    assert.deepEqual(await replay({ sql }, app, hook, { ids: [id] }), { kind: 'not_served', status });
    assert.deepEqual(await retryDelivery({ sql }, app, hook, id), { kind: 'not_served', status });
  }
  assert.deepEqual(await replay({ sql }, app, uuidv7(), { since: 0 }), { kind: 'unknown' });
  assert.deepEqual(await replay({ sql }, app + 1, hook, { since: 0 }), { kind: 'unknown' });
  assert.deepEqual(await retryDelivery({ sql }, app + 1, hook, id), { kind: 'unknown' });
  assert.deepEqual(await queueOf(ground), []);
});

test('a call ends after 100,000, and the next goes on behind them', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const now = Date.now();
  const since = now - 600_000;
  await rest(
    ground,
    hook,
    Array.from({ length: 100_010 }, (_, index) => ({ at: since + index * 5 })),
  );
  const first = await replay({ sql }, app, hook, { since });
  assert.ok(first.kind === 'replayed' && first.next !== null);
  assert.equal(first.queued, 100_000);
  const second = await replay({ sql }, app, hook, { since, after: first.next });
  assert.deepEqual(second, { kind: 'replayed', queued: 10, gone: 0, left: [], next: null });
  const ids = (await queueOf(ground)).map(({ id }) => id);
  assert.deepEqual(ids, [...ids].sort());
  assert.equal(new Set(ids).size, 100_010);
});

test('replays at once, and what is being settled meanwhile: each is queued once, nothing is lost', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  const count = 600;
  const ids = await rest(
    ground,
    hook,
    Array.from({ length: count }, (_, index) => ({ at: Date.now() - index })),
  );
  // A third of them were told anew after they had been held: they are pending as well, and an attempt of them ends now.
  const both = ids.filter((_, index) => index % 3 === 0);
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    select ${app}::integer, ${hook}::uuid, id, now() from unnest(${both}::uuid[]) as both_of (id)`;
  const claims = await claimAll(ground, both.length);
  assert.equal(claims.length, both.length);
  const shuffled = [...ids].sort((a, b) => (a.slice(-4) < b.slice(-4) ? -1 : 1));
  const batches = Array.from({ length: 10 }, (_, at) => claims.filter((_claim, index) => index % 10 === at));
  const [answers] = await Promise.all([
    Promise.all([
      replay({ sql }, app, hook, { since: 0 }),
      replay({ sql }, app, hook, { ids: shuffled }),
      replay({ sql }, app, hook, { ids: ids.toReversed() }),
      replay({ sql }, app, hook, { since: 0, states: ['held', 'delivered'] }),
    ]),
    ...batches.map((batch) => settle(sql, batch.map(delivered), new Date())),
  ]);
  const rows = await sql<{ id: string; queued: number; resting: number; round: number | null }[]>`
    select n.id, count(p.app)::integer as queued, count(d.app)::integer as resting, max(p.round) as round
    from notifications n
    left join pending_deliveries p on p.notification_id = n.id
    left join deliveries d on d.notification_id = n.id
    group by n.id`;
  assert.equal(rows.length, count);
  assert.deepEqual(
    rows.filter((row) => row.queued + row.resting !== 1),
    [],
  );
  // Begun anew by one of them; to the others, which asked for it, it was queued already.
  const begun = rows.filter((row) => row.queued === 1);
  assert.deepEqual([...new Set(begun.map(({ round }) => round))], [1]);
  assert.ok(answers.reduce((sum, answer) => sum + (queuedOf(answer) ?? 0), 0) >= begun.length);
});

test('what a fan-out holds back that saw the destination paused is not missed', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  await sql`update destinations set status = 'paused'`;
  let commit = (): void => {};
  const committing = new Promise<void>((resolve) => {
    commit = resolve;
  });
  const fanningOut = transaction(sql, async (tx) => {
    const fact = { app, trigger: 'message.opened', messageId: null, sequence: null, linkCounts: null };
    const [subscriber] = await readSubscribers(tx, [{ ...fact, happenedAt: new Date() }]);
    assert.equal(subscriber?.status, 'paused');
    await rest({ ...ground, sql: tx }, hook, [{}]);
    await sql`update destinations set status = 'active'`;
    await committing;
  });
  const replaying = until('the destination is active', async () => {
    return (await sql`select from destinations where status = 'active'`).length > 0;
  }).then(() => replay({ sql }, app, hook, { since: 0 }));
  await until('the replay waits', async () => {
    const waiting =
      await sql`select from pg_stat_activity where wait_event_type = 'Lock' and query like '%for update%'`;
    return waiting.length > 0;
  });
  commit();
  await fanningOut;
  assert.equal(queuedOf(await replaying), 1);
});

test('a retry begins anew what rests, hastens what waits and leaves alone what is under way', async (t) => {
  const ground = await grounded(t);
  const { sql, app, hook } = ground;
  let woken = 0;
  const deps = { sql, onDeliveries: () => void woken++ };
  const [id] = await rest(ground, hook, [{ state: 'delivered', attempts: 1 }]);
  assert.ok(id);
  assert.deepEqual(await retryDelivery(deps, app, hook, id), { kind: 'queued' });
  assert.deepEqual(await queueOf(ground), [{ id, round: 1, attempts: 0, due: true }]);
  assert.equal((await sql`select from deliveries`).length, 0);

  const [under] = await claimAll(ground, 1);
  assert.ok(under);
  assert.deepEqual(await retryDelivery(deps, app, hook, id), { kind: 'under_way' });
  assert.equal(woken, 1);
  assert.deepEqual(await queueOf(ground), [{ id, round: 1, attempts: 1, due: false }]);
  await sql`update pending_deliveries set claimed_until = null`; // it failed: the next attempt is an hour ahead
  assert.deepEqual(await retryDelivery(deps, app, hook, id), { kind: 'due' });
  assert.deepEqual(await queueOf(ground), [{ id, round: 1, attempts: 1, due: true }]);
  assert.equal(woken, 2);

  assert.deepEqual(await retryDelivery(deps, app, hook, uuidv7()), { kind: 'no_delivery' });
  const [erased] = await rest(ground, hook, [{}]);
  await sql`update notifications set message_id = ${uuidv7()} where id = ${String(erased)}`;
  assert.deepEqual(await retryDelivery(deps, app, hook, String(erased)), { kind: 'gone' });
});

/** Their fourth attempt of the third round is an hour ahead, or under way. */
async function wait({ sql, app }: NotifyGround, hook: string, ids: readonly string[], underWay = false): Promise<void> {
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, round, attempts, next_attempt_at, claimed_until)
    select ${app}::integer, ${hook}::uuid, id, 2, 3, now() + interval '1 hour',
      case when ${underWay} then now() + interval '1 hour' end
    from unnest(${[...ids]}::uuid[]) as waiting (id)`;
}

function queuedOf(answer: Awaited<ReturnType<typeof replay>>): number | null {
  return answer.kind === 'replayed' ? answer.queued : null;
}

async function claimAll({ sql }: NotifyGround, limit: number): Promise<Claim[]> {
  const now = Date.now() + MINUTE_MS;
  const until = new Date(now + 60 * MINUTE_MS);
  return await claim(sql, { kinds: ['webhook'], freshRoom: limit, rooms: [], limit, now: new Date(now), until });
}

function delivered(one: Claim): Parameters<typeof settle>[1][number] {
  return {
    claim: one,
    outcome: { kind: 'ok', status: 200, answer: '', retryAfter: null },
    verdict: { kind: 'delivered' },
    startedAt: new Date(),
    durationMs: 1,
  };
}
