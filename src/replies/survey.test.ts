import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { eventually } from '../../test/support/service.ts';
import { type WatchGround, watchGround } from '../../test/support/watch-ground.ts';
import { connect, type Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { deleteGrant, expireGrant } from '../grants/grants.ts';
import { endForgotten, eraseDeleted, pruneUnrelated } from './ending.ts';
import { fence, type Lease, LeaseLost, noteProblem, release, saveCursor } from './leases.ts';
import { forgetNodes, startNode, type WatchNode } from './nodes.ts';
import { addMissing, changes, claim, leasesOf, survey } from './survey.ts';

let ground: WatchGround;
let hearts: Sql;
let sql: Sql;
let node: WatchNode;
before(async () => {
  ground = await watchGround();
  sql = ground.sql;
  hearts = connect(ground.database.connection, { max: 2 });
});
after(async () => {
  await node.stop();
  await hearts.end({ timeout: 1 });
  await ground.close();
});
beforeEach(async () => {
  await node?.stop();
  await sql`truncate open_mailboxes, watches, watch_nodes, received_messages`;
  node = await startKnown();
});

async function startKnown(): Promise<WatchNode> {
  const started = startNode({ sql: hearts, log: { warn: () => {} }, beatMs: 5_000, deadMs: 15_000 });
  await started.known;
  return started;
}

async function open(count: number): Promise<Parameters<typeof deleteGrant>[2][]> {
  const ids = await ground.mailboxes(count);
  await addMissing(sql);
  return [...ids];
}

async function all(): Promise<readonly Lease[]> {
  return (await claim(sql, node, 1_000)).map(({ lease }) => lease);
}

describe('mailboxes to be watched', () => {
  it('are those with an open window, a valid grant and a provider that can', async () => {
    const ids = await ground.mailboxes(6);
    const [one = '', two, three, four] = ids;
    await sql`update open_mailboxes set active_at = now() - interval '91 days' where grant_id = ${one}`;
    if (two) await expireGrant(sql, ground.app, two);
    if (three) await deleteGrant(sql, ground.app, three);
    await sql`update grants set provider = 'google' where id = ${four ?? ''}`;
    const before = await survey(sql, node);
    assert.deepEqual(before, { live: 1, open: 2, missing: 2, free: 0, mine: 0 });
    await addMissing(sql);
    await addMissing(sql);
    assert.deepEqual(await survey(sql, node), { ...before, missing: 0, free: 2 });
    assert.equal((await claim(sql, node, 1)).length, 1);
    assert.deepEqual(await survey(sql, node), { ...before, missing: 0, free: 1, mine: 1 });
  });

  it('are claimed by one node each, and from a dead one by the next, one epoch later', async () => {
    await open(40);
    const other = await startKnown();
    const [a, b] = await Promise.all([claim(sql, node, 25), claim(sql, other, 25)]);
    const rest = await claim(sql, other, 25);
    const claimed = [...a, ...b, ...rest].map(({ lease }) => lease.grantId);
    assert.deepEqual([claimed.length, new Set(claimed).size], [40, 40]);
    assert.equal((await claim(sql, node, 25)).length, 0);
    await sql`update watch_nodes set seen_at = now() - interval '16 seconds' where id = ${other.id}`;
    assert.equal((await survey(sql, node)).live, 1);
    assert.equal((await claim(sql, other, 25)).length, 0, 'a node that counts as dead gets nothing');
    const taken = await claim(sql, node, 100);
    assert.equal(taken.length, 40 - a.length);
    assert.ok(taken.every(({ lease }) => lease.epoch === 2));
    await other.stop();
  });

  it('show what happened to them to the node that has them', async () => {
    const [deleted, expired, over, renewed] = await open(5);
    await all();
    await sql`update grants set updated_at = now() - interval '1 hour'`;
    assert.equal((await changes(sql, node.id)).length, 0);
    if (deleted) await deleteGrant(sql, ground.app, deleted);
    if (expired) await expireGrant(sql, ground.app, expired);
    await sql`delete from open_mailboxes where grant_id = ${over ?? ''}`;
    await sql`update grants set updated_at = now() where id = ${renewed ?? ''}`;
    const told = (await changes(sql, node.id)).map(({ grantId, fate }) => [grantId, fate]);
    assert.deepEqual(
      new Map(told.map(([id = '', fate]) => [id, fate])),
      new Map([
        [String(deleted), 'deleted'],
        [String(expired), 'paused'],
        [String(over), 'over'],
        [String(renewed), 'changed'],
      ]),
    );
  });

  it('are surveyed quickly, ten thousand of them of which a node has two thousand', async (t) => {
    await ground.mailboxes(10_000);
    const before = performance.now(); // without statistics, as after a restore
    assert.equal((await survey(sql, node)).missing, 10_000);
    await addMissing(sql);
    await addMissing(sql);
    assert.equal((await claim(sql, node, 2_000)).length, 2_000);
    await endForgotten(sql);
    await survey(sql, node);
    t.diagnostic(`without statistics, all of it: ${Math.round(performance.now() - before)} ms`);
    assert.ok(performance.now() - before < 5_000);
    await sql`analyze`;
    const took: number[] = [];
    for (let round = 0; round < 15; round += 1) {
      const from = performance.now();
      await survey(sql, node);
      await changes(sql, node.id);
      took.push(performance.now() - from);
    }
    const median = took.sort((a, b) => a - b)[7] ?? 0;
    t.diagnostic(`a look takes ${median.toFixed(1)} ms`);
    assert.ok(median < 250, `${median} ms`); // 20 ms on a quiet machine, seconds with a wrong plan
  });
});

describe('a lease', () => {
  it('is proved before anything is written, and lost with its epoch, its node or its grant', async () => {
    const [first, second] = await open(2);
    const leases = await all();
    const lease = leases.find(({ grantId }) => grantId === first);
    const other = leases.find(({ grantId }) => grantId === second);
    assert.ok(lease && other && second);
    const write = (by: Lease): Promise<void> =>
      transaction(sql, async (tx) => {
        await fence(tx, by);
        await saveCursor(tx, by, { uid: 1 }, true);
      });
    await write(lease);
    await assert.rejects(write({ ...lease, epoch: lease.epoch + 1 }), LeaseLost);
    await assert.rejects(write({ ...lease, nodeId: other.grantId }), LeaseLost);
    await noteProblem(sql, lease, 3, `kim@client.test said\0\n${'no '.repeat(500)}`);
    const [noted] = await sql`select failures, problem from watches where grant_id = ${lease.grantId}`;
    assert.deepEqual([noted?.failures, String(noted?.problem).slice(0, 22)], [3, '(address) said no no n']);
    assert.ok(String(noted?.problem).length <= 300);
    await release(sql, [lease]);
    await assert.rejects(write(lease), LeaseLost);
    const [again] = await claim(sql, node, 10);
    assert.deepEqual([again?.lease.epoch, again?.cursor], [lease.epoch + 1, { uid: 1 }]);
    await release(sql, [lease]); // an old one
    assert.equal((await leasesOf(sql, node.id)).length, 2);
    await deleteGrant(sql, ground.app, second);
    await assert.rejects(write(other), LeaseLost);
  });

  it('cannot be taken while what it allows is being written', async () => {
    await open(1);
    const [lease] = await all();
    assert.ok(lease);
    const order: string[] = [];
    let proved = (): void => {};
    const isProved = new Promise<void>((resolve) => {
      proved = resolve;
    });
    let go = (): void => {};
    const mayGo = new Promise<void>((resolve) => {
      go = resolve;
    });
    const writing = transaction(sql, async (tx) => {
      await fence(tx, lease);
      proved();
      await mayGo;
      await saveCursor(tx, lease, { uid: 5 }, true);
      order.push('written');
    });
    await isProved;
    await sql`update watch_nodes set seen_at = now() - interval '1 minute'`;
    const heir = await startKnown();
    assert.equal((await claim(sql, heir, 10)).length, 0, 'it is passed over, not waited for');
    go();
    await writing;
    const [taken] = await claim(sql, heir, 10);
    assert.deepEqual([taken?.lease.epoch, taken?.cursor, order], [2, { uid: 5 }, ['written']]);
    await heir.stop();
  });
});

describe('what is kept no longer', () => {
  it('goes: mailboxes that nobody watches, mail of deleted grants, old unrelated mail, dead nodes', async () => {
    const [deleted, over, kept] = await open(3);
    assert.ok(deleted && over && kept);
    const mails = [
      { grant: deleted, root: null, days: 1 },
      { grant: kept, root: null, days: 91 },
      { grant: kept, root: kept, days: 500 },
      { grant: kept, root: null, days: 89 },
    ];
    for (const { grant, root, days } of mails) {
      await sql`
        insert into received_messages (app, grant_id, mark, id, thread_id, message_id, root_id, class, place, received_at)
        values (${ground.app}, ${grant}, ${Buffer.from(`mark ${days}`)}, gen_random_uuid(), 't', '', ${root}, 'unrelated', 'p',
          now() - ${days} * interval '1 day')`;
    }
    await deleteGrant(sql, ground.app, deleted);
    await sql`update open_mailboxes set active_at = now() - interval '92 days' where grant_id = ${over}`;
    await endForgotten(sql);
    const left = async (table: string): Promise<string[]> =>
      (await sql<{ id: string }[]>`select distinct grant_id as id from ${sql(table)}`).map(({ id }) => id);
    assert.deepEqual([await left('watches'), (await left('open_mailboxes')).sort()], [[kept], [kept, over].sort()]);
    await eraseDeleted(sql, 'of late');
    assert.equal(await pruneUnrelated(sql), false);
    const marks = await sql`select convert_from(mark, 'utf8') as mark from received_messages order by received_at`;
    assert.deepEqual(
      marks.map(({ mark }) => mark),
      ['mark 500', 'mark 89'],
    );
    await sql`insert into watch_nodes (id, seen_at) values (gen_random_uuid(), now() - interval '2 hours')`;
    await forgetNodes(sql);
    assert.deepEqual(
      (await sql`select id from watch_nodes`).map(({ id }) => id),
      [node.id],
    );
  });

  it('goes also where the grant was deleted long after its window was over', async () => {
    const [grant] = await ground.mailboxes(1);
    assert.ok(grant);
    await sql`truncate open_mailboxes`;
    await sql`
      insert into received_messages (app, grant_id, mark, id, thread_id, message_id, class, place, received_at)
      values (${ground.app}, ${grant}, 'mark', gen_random_uuid(), 't', '', 'reply', 'p', now())`;
    await deleteGrant(sql, ground.app, grant);
    await sql`update grants set deleted_at = now() - interval '1 day' where id = ${grant}`;
    await eraseDeleted(sql, 'of late');
    assert.equal((await sql`select from received_messages`).length, 1);
    await eraseDeleted(sql, 'all');
    assert.equal((await sql`select from received_messages`).length, 0);
  });
});

it('a heartbeat goes on, and a node says so when it was away for longer than it may be', async () => {
  const heart = connect(ground.gate.connection, { max: 1 });
  const watched = startNode({ sql: heart, log: { warn: () => {} }, beatMs: 50, deadMs: 300 });
  await watched.known;
  const seenAt = async (): Promise<number> => {
    const [row] = await sql<{ at: Date }[]>`select seen_at as at from watch_nodes where id = ${watched.id}`;
    return row?.at.getTime() ?? 0;
  };
  const first = await seenAt();
  await eventually('a second beat', async () => ((await seenAt()) > first ? true : undefined));
  assert.equal(watched.wasAway(), false);
  await ground.gate.shut();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await sql`delete from watch_nodes where id = ${watched.id}`;
  await ground.gate.open();
  await eventually('back', async () => ((await seenAt()) > 0 ? true : undefined));
  await eventually('it says so', () => watched.wasAway() || undefined);
  assert.equal(watched.wasAway(), false, 'once');
  await watched.stop();
  assert.equal(await seenAt(), 0);
  await heart.end({ timeout: 1 });
});

it('a node that was away gives those that were alive until then the time to come back', async () => {
  const heart = connect(ground.gate.connection, { max: 1 });
  const watched = startNode({ sql: heart, log: { warn: () => {} }, beatMs: 50, deadMs: 1_000 });
  await watched.known;
  const other = randomUUID();
  await sql`insert into watch_nodes (id) values (${other}), (gen_random_uuid())`;
  await sql`update watch_nodes set seen_at = now() - interval '5 seconds' where id not in (${watched.id}, ${other})`;
  await ground.gate.shut();
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal((await survey(sql, watched)).live, 0, 'for all it knows');
  await ground.gate.open();
  await eventually('back', () => watched.wasAway() || undefined);
  assert.equal((await survey(sql, watched)).live, 2, 'the one that had died before stays dead');
  await eventually('dead', async () => ((await survey(sql, watched)).live === 1 ? true : undefined));
  await watched.stop();
  await heart.end({ timeout: 1 });
});
