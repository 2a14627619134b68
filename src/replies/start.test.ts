import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { eventually } from '../../test/support/service.ts';
import { SHORT, type TestNode, type WatchGround, watchGround } from '../../test/support/watch-ground.ts';
import { transaction } from '../db/transaction.ts';
import type { deleteGrant } from '../grants/grants.ts';
import { fence, LeaseLost, saveCursor } from './leases.ts';
import { WATCH_TIMES } from './patience.ts';

const FAST = { perSecond: 2_000, atOnce: 50 };

let ground: WatchGround;
before(async () => {
  ground = await watchGround();
});
after(async () => {
  await ground.close();
});

let running: TestNode[] = [];
beforeEach(async () => {
  await Promise.all(running.map((node) => node.stop()));
  running = [];
  ground.server.cut();
  Object.assign(ground.server, { refuse: null, loginMs: 0, isDeaf: false });
  ground.logged.length = 0;
  await ground.sql`truncate open_mailboxes, watches, watch_nodes, received_messages, seen`;
});

function start(options: Parameters<WatchGround['node']>[0] = {}): TestNode {
  const node = ground.node(options);
  running.push(node);
  return node;
}

/** How many of the mailboxes each of the nodes has. */
async function shares(...nodes: readonly TestNode[]): Promise<readonly number[]> {
  const rows = await ground.watches();
  return nodes.map(({ nodeId }) => rows.filter(({ node }) => node === nodeId).length);
}

async function allConnected(count: number, forMs = 15_000): Promise<void> {
  await eventually(`${count} mailboxes connected`, () => (isConnected(count) ? true : undefined), forMs);
}

/** Each mailbox once. */
function isConnected(count: number): boolean {
  const { connected } = ground.server;
  return connected.length === count && new Set(connected).size === count;
}

describe('several nodes', () => {
  it('share the mailboxes, and watch each once', async () => {
    await ground.mailboxes(30);
    const nodes = [start({ connects: FAST }), start({ connects: FAST }), start({ connects: FAST })];
    await allConnected(30);
    const [a = 0, b = 0, c = 0] = await shares(...nodes);
    assert.equal(a + b + c, 30);
    assert.deepEqual(
      nodes.map(({ counts }) => counts.watching),
      [a, b, c],
    );
    assert.equal(
      (await ground.watches()).every(({ epoch }) => epoch >= 1),
      true,
    );
  });

  it('hand a part to a node that joins them, and all to the others when they stop', async () => {
    await ground.mailboxes(60);
    const first = start({ connects: FAST });
    await allConnected(60);
    const second = start({ connects: FAST });
    await eventually('a fair share', async () => {
      const [a = 0, b = 0] = await shares(first, second);
      return a + b === 60 && a <= 40 ? true : undefined;
    });
    await allConnected(60);
    const from = performance.now();
    await first.stop();
    assert.ok(performance.now() - from < 1_000, 'stops within a second');
    await eventually('all at the second', async () => ((await shares(second))[0] === 60 ? true : undefined));
    assert.ok(performance.now() - from < 2_000, `handed over after ${performance.now() - from} ms`);
    await allConnected(60);
    assert.equal((await ground.sql`select from watch_nodes`).length, 1);
  });

  it('take over what a dead one had, go on from its cursors, and refuse what it still writes', async () => {
    const [grantId = ''] = await ground.mailboxes(12);
    const dying = start({ connects: FAST });
    await allConnected(12);
    ground.server.deliver(grantId, 'one', 'two');
    await eventually('recorded', async () => ((await ground.seen(grantId)).length === 2 ? true : undefined));
    const [before] = (await ground.watches()).filter((row) => row.grantId === grantId);
    assert.deepEqual(before?.cursor, { uid: 2 });
    await dying.kill();
    const from = performance.now();
    const heirs = [start({ connects: FAST }), start({ connects: FAST })];
    ground.server.deliver(grantId, 'three');
    await allConnected(12);
    assert.ok(performance.now() - from >= 300, 'not before it counts as dead');
    await eventually('recorded by an heir', async () => ((await ground.seen(grantId)).length === 3 ? true : undefined));
    const seen = await ground.seen(grantId);
    assert.deepEqual(
      seen.map(({ subject }) => subject),
      ['one', 'two', 'three'],
    );
    assert.ok(heirs.some(({ nodeId }) => nodeId === seen[2]?.node));

    const late = { app: ground.app, grantId: await idOf(grantId), nodeId: dying.nodeId, epoch: before?.epoch ?? 0 };
    const writing = transaction(ground.sql, async (tx) => {
      await fence(tx, late);
      await saveCursor(tx, late, { uid: 0 }, true);
    });
    await assert.rejects(writing, LeaseLost);
    const [row] = (await ground.watches()).filter((each) => each.grantId === grantId);
    assert.deepEqual([row?.cursor, row?.epoch], [{ uid: 3 }, (before?.epoch ?? 0) + 1]);
  });

  it('lose all within 30 s of their death by the times they have in earnest', () => {
    const { deadMs, longestLookMs, lookMs, beatMs } = WATCH_TIMES;
    assert.ok(deadMs + longestLookMs + 2 * lookMs < 25_000, 'and 5 s for claiming, 500 mailboxes a look');
    assert.ok(deadMs >= 3 * beatMs, 'a heartbeat or two may be late');
  });

  it('end what a node has that lost its leases while it was away', async () => {
    await ground.mailboxes(8);
    const frozen = start({ connects: FAST, times: { ...SHORT, sweepMs: 60_000 } });
    await allConnected(8);
    // As others do that take it for dead.
    await ground.sql`update watches set node_id = gen_random_uuid(), epoch = epoch + 1`;
    await ground.sql`insert into watch_nodes (id) select distinct node_id from watches`;
    await eventually('no connection', () => (ground.server.connected.length === 0 ? true : undefined));
    await eventually('nothing left', () => (frozen.counts.watching === 0 ? true : undefined));
  });

  it('keep their mailboxes where the database was away for all of them', async () => {
    await ground.mailboxes(20);
    // More than the second at which the driver tries to connect again.
    const options = { connects: FAST, times: { ...SHORT, deadMs: 1_500 } };
    const nodes = [start(options), start(options)];
    await allConnected(20);
    const before = await ground.watches();
    await away(2_000);
    await new Promise((resolve) => setTimeout(resolve, 2_500)); // longer than a node has to come back
    const rows = await ground.watches();
    assert.deepEqual(
      rows.map(({ node }) => node),
      before.map(({ node }) => node),
    );
    assert.deepEqual(
      nodes.map(({ counts }) => counts.reconnects),
      [0, 0],
    );
    const told = (): number => ground.logged.filter(({ event }) => event === 'replies.database_lost').length;
    assert.ok(told() >= 1 && told() <= 2, 'each says so once');
    await ground.gate.shut();
    await eventually('said again', () => (told() >= 3 ? true : undefined));
    await ground.gate.open();
  });
});

async function idOf(grantId: string): Promise<Parameters<typeof deleteGrant>[2]> {
  const [row] = await ground.sql<
    { id: Parameters<typeof deleteGrant>[2] }[]
  >`select id from grants where id = ${grantId}`;
  if (!row) throw new Error('no grant');
  return row.id;
}

/** None of the nodes gets to the database for so long. */
async function away(ms: number): Promise<void> {
  await ground.gate.shut();
  await new Promise((resolve) => setTimeout(resolve, ms));
  await ground.gate.open();
}
