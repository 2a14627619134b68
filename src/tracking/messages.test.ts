import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { addOwner, type Owner, prepareLedger } from '../../test/support/recording.ts';
import { eventually } from '../../test/support/service.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { uuidv7 } from '../ids.ts';
import { CONCLUDED, failReserved, reserveAll, type SendResult, type Settled, settleAll } from './messages.ts';
import { readSendDetail, type SendFailure, telling } from './send-facts.ts';

const SENT: SendResult = { state: 'sent', messageId: '<left@shop.test>', providerMessageId: null };
const FAILED: SendResult = { state: 'failed', error: { kind: 'rejected', reason: 'no' } };
const ABSENT: SendResult = { state: 'failed', error: { kind: CONCLUDED, reason: 'never taken' } };
const UNKNOWN: SendResult = { state: 'unknown', error: { kind: 'unknown', reason: 'cut' } };
const FAILURE: SendFailure = {
  reason: 'no',
  error: { type: 'api.provider_error', message: 'Refused.', statusCode: 402, providerError: { reason: 'no' } },
};

let sql: Sql;
let drop: () => Promise<void>;
let owner: Owner;

before(async () => {
  ({ sql, drop } = await testDatabase(prepareLedger));
  owner = await addOwner(sql);
});
after(() => drop());

/** Messages being sent; their ids. */
async function sending(count = 1, { threadReplies = false, grantId = uuidv7() } = {}): Promise<readonly string[]> {
  const ids = Array.from({ length: count }, () => uuidv7());
  const message = {
    app: owner.app,
    grantId,
    label: '',
    opens: false,
    links: false,
    threadReplies,
    threadId: 't',
    ancestors: [],
    metadata: {},
  };
  await reserveAll(
    sql,
    ids.map((id) => ({ message: { ...message, id, messageId: `<${id}@shop.test>`, subject: `Of ${id}` }, links: [] })),
  );
  return ids;
}

function settlement(id: string, result: SendResult, always: boolean) {
  return { app: owner.app, id, result, telling: telling(always, null, result.state === 'failed' ? FAILURE : null) };
}

function settle(id: string, result: SendResult, always = false): Promise<Settled> {
  return settleAll(sql, [settlement(id, result, always)]);
}

interface FactRow {
  readonly app: number;
  readonly trigger: string;
  readonly sequence: number | null;
  readonly detail: unknown;
  readonly at_once: boolean;
}

async function factsOf(id: string): Promise<readonly FactRow[]> {
  return await sql<FactRow[]>`
    select o.app, trigger, sequence, detail, happened_at = state_at as at_once
    from outbox o join messages m on m.app = o.app and m.id = o.message_id
    where m.id = ${id} order by position`;
}

async function triggersOf(id: string): Promise<readonly string[]> {
  return (await factsOf(id)).map(({ trigger }) => trigger);
}

async function oneSending(): Promise<string> {
  const [id = ''] = await sending();
  return id;
}

describe('the outcome of a send', () => {
  it('is not told where the answer told it', async () => {
    const [sent = '', failed = ''] = await sending(2);
    assert.deepEqual(await settle(sent, SENT), { changed: new Set([sent]), told: false });
    assert.deepEqual(await settle(failed, FAILED), { changed: new Set([failed]), told: false });
    assert.deepEqual([await triggersOf(sent), await triggersOf(failed)], [[], []]);
  });

  it('is told where that is asked for, with the state and once', async () => {
    const [sent = '', failed = ''] = await sending(2);
    assert.deepEqual(await settle(sent, SENT, true), { changed: new Set([sent]), told: true });
    assert.deepEqual(await settle(failed, FAILED, true), { changed: new Set([failed]), told: true });
    for (const again of [SENT, FAILED, UNKNOWN]) {
      assert.deepEqual(await settle(sent, again, true), { changed: new Set(), told: false });
      assert.deepEqual(await settle(failed, again, true), { changed: new Set(), told: false });
    }
    const [success, ...more] = await factsOf(sent);
    assert.deepEqual(
      [success?.app, success?.trigger, success?.sequence, success?.at_once, more.length],
      [owner.app, 'message.send_success', null, true, 0],
    );
    assert.deepEqual(
      [readSendDetail(success?.detail)?.subject, readSendDetail(success?.detail)?.failure],
      [`Of ${sent}`, null],
    );
    const [failure, ...others] = await factsOf(failed);
    assert.deepEqual([failure?.trigger, others.length], ['message.send_failed', 0]);
    assert.deepEqual(readSendDetail(failure?.detail)?.failure, FAILURE);
  });

  it('is always told of what was unknown, but not that it is unknown', async () => {
    const ids = await sending(2);
    for (const id of ids) assert.equal((await settle(id, UNKNOWN, true)).told, false);
    for (const id of ids) assert.equal((await settle(id, UNKNOWN, true)).told, false);
    const [sent = '', failed = ''] = ids;
    assert.equal((await settle(sent, SENT)).told, true);
    assert.equal((await settle(failed, FAILED)).told, true);
    assert.deepEqual(await triggersOf(sent), ['message.send_success']);
    assert.deepEqual(await triggersOf(failed), ['message.send_failed']);
  });

  it('is told anew where it corrects what was only concluded, once', async () => {
    const id = await oneSending();
    await settle(id, ABSENT, true);
    await settle(id, SENT);
    await settle(id, SENT, true);
    assert.deepEqual(await triggersOf(id), ['message.send_failed', 'message.send_success']);
  });

  it('is told of each in a batch by itself', async () => {
    const ids = await sending(40);
    const { changed, told } = await settleAll(
      sql,
      ids.map((id, at) => settlement(id, at % 2 ? SENT : FAILED, at % 4 < 2)),
    );
    assert.deepEqual([changed.size, told], [40, true]);
    for (const [at, id] of ids.entries()) {
      const trigger = at % 2 ? 'message.send_success' : 'message.send_failed';
      assert.deepEqual(await triggersOf(id), at % 4 < 2 ? [trigger] : [], String(at));
    }
  });

  it('goes by what the other has written who settles the same message at the same time', async () => {
    const [unknown = '', sent = ''] = await sending(2);
    const waiting: Promise<Settled>[] = [];
    await transaction(sql, async (tx) => {
      await settleAll(tx, [settlement(unknown, UNKNOWN, true), settlement(sent, SENT, true)]);
      waiting.push(settle(unknown, SENT), settle(sent, SENT, true));
      await eventually('both wait for us', async () => {
        const [row] = await sql<{ count: number }[]>`
          select count(*)::integer as count from pg_stat_activity
          where wait_event_type = 'Lock' and datname = current_database()`;
        return row?.count === 2 ? true : undefined;
      });
    });
    const [late, second] = await Promise.all(waiting);
    assert.deepEqual(late, { changed: new Set([unknown]), told: true });
    assert.deepEqual(second, { changed: new Set(), told: false });
    assert.deepEqual(await triggersOf(unknown), ['message.send_success']);
    assert.deepEqual(await triggersOf(sent), ['message.send_success']);
  });

  it('is told with the state or not at all', async () => {
    const id = await oneSending();
    await sql`alter table outbox add constraint refused check (app <> ${sql.unsafe(String(owner.app))}) not valid`;
    try {
      await assert.rejects(settle(id, SENT, true), { code: '23514' });
    } finally {
      await sql`alter table outbox drop constraint refused`;
    }
    const [row] = await sql`select state from messages where id = ${id}`;
    assert.deepEqual([row?.state, await triggersOf(id)], ['sending', []]);
  });

  it('is told of what the version before left reserved', async () => {
    const id = await oneSending();
    await sql`update messages set state = 'reserved', state_at = now() - interval '1 minute' where id = ${id}`;
    assert.equal(await failReserved(sql, 30_000, telling(true, null, FAILURE)), 1);
    assert.equal(await failReserved(sql, 30_000, telling(true, null, FAILURE)), 0);
    const [fact, ...more] = await factsOf(id);
    assert.deepEqual([fact?.trigger, more.length], ['message.send_failed', 0]);
    assert.deepEqual(readSendDetail(fact?.detail)?.failure, FAILURE);
  });
});

describe('the mailbox in which answers are waited for', () => {
  async function opened(grantId: string): Promise<number> {
    return (await sql`select from open_mailboxes where grant_id = ${grantId} and active_at > now() - interval '1 hour'`)
      .length;
  }

  for (const [name, results, expected] of [
    ['is opened by what was sent', [SENT], 1],
    ['is opened by what may have been sent', [UNKNOWN], 1],
    ['is opened by what was found out to have been sent', [UNKNOWN, SENT], 1],
    ['is opened by what was taken for lost', [ABSENT, SENT], 1],
    ['stays closed where nothing was sent', [FAILED], 0],
  ] as const) {
    it(name, async () => {
      for (const threadReplies of [true, false]) {
        const grantId = uuidv7();
        const [id = ''] = await sending(1, { threadReplies, grantId });
        assert.equal(await opened(grantId), 0);
        for (const result of results) await settle(id, result);
        assert.equal(await opened(grantId), threadReplies ? expected : 0);
      }
    });
  }

  it('is opened again by what is found out after it was closed', async () => {
    const grantId = uuidv7();
    const [id = ''] = await sending(1, { threadReplies: true, grantId });
    await settle(id, UNKNOWN);
    await sql`update open_mailboxes set active_at = now() - interval '2 days' where grant_id = ${grantId}`;
    await settle(id, SENT);
    assert.equal(await opened(grantId), 1);
  });

  it('is opened once by many at the same time, of several mailboxes in whatever order', async () => {
    const grants = Array.from({ length: 5 }, () => uuidv7());
    const ids = (await Promise.all(grants.map((grantId) => sending(20, { threadReplies: true, grantId })))).flat();
    const shares = Array.from({ length: 10 }, (_, at) => ids.filter((_id, place) => place % 10 === at));
    const settled = await Promise.all(
      shares.map((share, at) =>
        settleAll(
          sql,
          (at % 2 ? share : share.toReversed()).map((id) => settlement(id, SENT, true)),
        ),
      ),
    );
    assert.equal(
      settled.reduce((sum, { changed }) => sum + changed.size, 0),
      100,
    );
    for (const grantId of grants) assert.equal(await opened(grantId), 1);
    assert.deepEqual(await triggersOf(ids[0] ?? ''), ['message.send_success']);
  });
});
