import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { deleteGrant, type Grant } from '../grants/grants.ts';
import { begin, giveBack } from './idempotency.ts';
import {
  type Claim,
  claimRequest,
  type IdempotentRequest,
  keepAnswer,
  pruneIdempotentRequests,
} from './idempotent-requests.ts';

let sender: Sender;
before(async () => {
  sender = await startSender();
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  await sender.database.sql`delete from idempotent_requests`;
});

function request(what: string, { app, id }: Grant = sender.grant): IdempotentRequest {
  return { app, grantId: id, key: 'key', hash: createHash('sha256').update(what).digest() };
}

/** The claim of a request that is run. */
async function run(asked: IdempotentRequest): Promise<Claim> {
  const begun = await begin(sender.database.sql, asked);
  assert.ok(begun.kind === 'run');
  return begun.claim;
}

describe('a key that was given back', () => {
  it('has its message for who repeats the request, and another one for who asks for something else', async () => {
    const { sql } = sender.database;
    const first = await run(request('a'));
    await giveBack(sql, first);
    const second = await run(request('a'));
    assert.equal(second.messageId, first.messageId);
    await giveBack(sql, second);
    const other = await run(request('b'));
    assert.notEqual(other.messageId, first.messageId);
  });
});

describe('answers', () => {
  it('are dropped when their hour is over, however many there are', async () => {
    const { sql } = sender.database;
    const { app, id } = sender.grant;
    await sql`
      insert into idempotent_requests (app, grant_id, key, request_hash, message_id, started_at, status, answer, answered_at)
      select ${app}, ${id}, number, '', gen_random_uuid(), now() - (number - 0.5) * interval '1 minute', 200, '{}', now()
      from generate_series(1, 1300) as number`;
    assert.equal(await pruneIdempotentRequests(sql), 1300 - 60);
  });

  it('of a deleted grant are dropped at once', async () => {
    const { sql } = sender.database;
    const { grant } = await sender.application('production');
    for (const owner of [grant, sender.grant]) {
      const claimed = await claimRequest(sql, request('a', owner));
      assert.ok(claimed.kind === 'ours' && (await keepAnswer(sql, claimed.claim, 200, '{}')));
    }
    await deleteGrant(sql, grant.app, grant.id);
    assert.equal(await pruneIdempotentRequests(sql), 1);
    assert.equal((await claimRequest(sql, request('a'))).kind, 'answered');
  });
});
