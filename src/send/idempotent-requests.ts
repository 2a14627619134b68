// What a request under an Idempotency-Key was answered, and which one may answer it: table idempotent_requests. All
// times are the database's. Whoever holds a claim may be taken over; `startedAt` tells then that it holds it no longer.
import type { Query } from '../db/pool.ts';
import { uuidv7 } from '../ids.ts';

export interface IdempotentRequest {
  readonly app: number;
  readonly grantId: string;
  readonly key: string;
  /** SHA-256 of what is asked for. */
  readonly hash: Buffer;
}

export interface Claim extends IdempotentRequest {
  /** UUIDv7; every try under this key sends under it, so that the messages' primary key lets one of them do it. */
  readonly messageId: string;
  /** As the database writes it, to the microsecond. */
  readonly startedAt: string;
}

export type Claimed =
  /** The request is ours to answer. */
  | { readonly kind: 'ours'; readonly claim: Claim }
  | { readonly kind: 'answered'; readonly status: number; readonly answer: string }
  /** Somebody's, who has not answered; `isFree`: and will not, or not for long enough. */
  | { readonly kind: 'theirs'; readonly claim: Claim; readonly isFree: boolean }
  /** The key was used for a request that asked for something else. */
  | { readonly kind: 'different' };

const GOOD_FOR = '1 hour';
/** Without an answer that long; a mailbox is looked at no longer for a mail that may have left. */
const UNANSWERED_FOR = '1 day';
/** Between the claim and the message's row lie a look-up, composing and one write. */
const SILENT = '30 seconds';
const PRUNED_AT_ONCE = 500;
/** A row may vanish between the two looks at it. */
const LOOKS = 5;

/** The first of those that come at once has it. */
export async function claimRequest(sql: Query, request: IdempotentRequest): Promise<Claimed> {
  const { app, grantId, key, hash } = request;
  for (let look = 0; look < LOOKS; look++) {
    const [ours] = await sql<ClaimRow[]>`
      insert into idempotent_requests as known (app, grant_id, key, request_hash, message_id)
      values (${app}, ${grantId}, ${key}, ${hash}, ${uuidv7()})
      on conflict (app, grant_id, key) do update set request_hash = excluded.request_hash,
        message_id = excluded.message_id, started_at = excluded.started_at, status = null, answer = null,
        answered_at = null
      where known.started_at < now() - ${GOOD_FOR}::interval
        and (known.answered_at is not null or known.request_hash <> excluded.request_hash)
      returning message_id, started_at::text`;
    if (ours !== undefined) return { kind: 'ours', claim: toClaim(request, ours) };
    const [known] = await sql<KnownRow[]>`
      select message_id, started_at::text, request_hash, status, answer, answered_at is not null as is_back,
        started_at < now() - ${SILENT}::interval as is_silent
      from idempotent_requests where app = ${app} and grant_id = ${grantId} and key = ${key}`;
    if (known !== undefined) return toClaimed(request, known);
  }
  throw new Error('an idempotent request came and went');
}

function toClaimed(request: IdempotentRequest, known: KnownRow): Claimed {
  const isBack = known.status === null && known.is_back;
  if (!isBack && !request.hash.equals(known.request_hash)) return { kind: 'different' };
  if (known.status !== null) return { kind: 'answered', status: known.status, answer: known.answer ?? '{}' };
  const claim = toClaim({ ...request, hash: known.request_hash }, known);
  return { kind: 'theirs', claim, isFree: isBack || known.is_silent };
}

/** For this request, from whoever held the claim; null where another one was faster, or it was answered. */
export async function takeOver(
  sql: Query,
  request: IdempotentRequest,
  held: Claim,
  messageId: string,
): Promise<Claim | null> {
  const [row] = await sql<ClaimRow[]>`
    update idempotent_requests set request_hash = ${request.hash}, message_id = ${messageId},
      started_at = clock_timestamp(), answered_at = null
    where ${isHeld(sql, held)} returning message_id, started_at::text`;
  return row === undefined ? null : toClaim(request, row);
}

/** What this key is answered from now on; `answer` is JSON. False where the claim was taken over. */
export async function keepAnswer(sql: Query, claim: Claim, status: number, answer: string): Promise<boolean> {
  const kept = await sql`
    update idempotent_requests set status = ${status}, answer = ${answer}, answered_at = now()
    where ${isHeld(sql, claim)} returning key`;
  return kept.length > 0;
}

/** The next request under the key is run, under this message id, also if it asks for something else. */
export async function giveBackAs(sql: Query, claim: Claim, messageId: string): Promise<void> {
  await sql`
    update idempotent_requests set answered_at = now(), message_id = ${messageId} where ${isHeld(sql, claim)}`;
}

/** Drops keys that are good no longer, and those of deleted grants: their answers hold mails. Returns how many. */
export async function pruneIdempotentRequests(sql: Query): Promise<number> {
  const orphans = await sql`
    delete from idempotent_requests r using grants g
    where g.state = 'deleted' and g.deleted_at > now() - 2 * ${GOOD_FOR}::interval and r.app = g.app and r.grant_id = g.id
    returning key`;
  let sum = orphans.length;
  for (let pruned = PRUNED_AT_ONCE; pruned === PRUNED_AT_ONCE; sum += pruned) {
    const rows = await sql`
      delete from idempotent_requests where (app, grant_id, key) in (
        select app, grant_id, key from idempotent_requests
        where started_at < now() - ${GOOD_FOR}::interval
          and (answered_at is not null or started_at < now() - ${UNANSWERED_FOR}::interval)
        order by started_at limit ${PRUNED_AT_ONCE} for update skip locked)
      returning key`;
    pruned = rows.length;
  }
  return sum;
}

function isHeld(sql: Query, { app, grantId, key, startedAt }: Claim) {
  return sql`app = ${app} and grant_id = ${grantId} and key = ${key}
    and started_at = ${startedAt}::text::timestamptz and status is null`;
}

interface ClaimRow {
  message_id: string;
  started_at: string;
}

interface KnownRow extends ClaimRow {
  request_hash: Buffer;
  status: number | null;
  answer: string | null;
  is_back: boolean;
  is_silent: boolean;
}

function toClaim({ app, grantId, key, hash }: IdempotentRequest, row: ClaimRow): Claim {
  return { app, grantId, key, hash, messageId: row.message_id, startedAt: row.started_at };
}
