// Requests under an Idempotency-Key: done once, and answered the same to whoever repeats them within the hour.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { retrying, type Sql } from '../db/pool.ts';
import { ApiError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Attachment } from '../send/compose.ts';
import { begin, concurrentRefusal, differentRefusal, giveBack, leftRefusal, openRefusal } from '../send/idempotency.ts';
import { type Claim, keepAnswer } from '../send/idempotent-requests.ts';
import { requestHash } from '../send/request-hash.ts';
import type { StoredMessage } from '../tracking/messages.ts';
import { errorBody, refusalOf } from './respond.ts';

export interface OnceDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'warn'>;
}

/** What is asked for: two requests that differ in any of it are not the same. */
export interface Asked {
  /** The route, and what its path names besides the grant. */
  readonly what: readonly string[];
  readonly files?: readonly Attachment[];
}

export interface Work {
  /** Does it, the message being sent under this id; the whole answer. */
  run(messageId: string | undefined): Promise<object>;
  /**
   * The whole answer of an earlier try that nobody was answered, and that got as far as this message. Null where that is
   * not enough for success: a message that is being sent, or was not.
   */
  again(message: StoredMessage): Promise<object | null>;
}

const KEY = /^[!-~]{1,256}$/;
const LONGEST_KEY = 256;
const REPLAYED = 'idempotent-response';
const RETRY_AFTER_SECONDS = { running: 1, unknown: 30 } as const;
/** The caller waits, and has waited for the provider already. */
const KEEPING_MS = 5_000;
/** Answers that say "again later", or "once you have authenticated again". After all of them nothing was sent, or it shows. */
const NOT_KEPT: ReadonlySet<number> = new Set([401, 409, 429, 500, 503]);

/** The answer of a request that sends, whose body and query have been read. Without the header it is simply run. */
export async function once(
  { sql, log }: OnceDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  grant: { readonly app: number; readonly id: string },
  { what, files }: Asked,
  work: Work,
): Promise<object> {
  const key = keyOf(request);
  if (key === null) return await work.run(undefined);

  const keep = async (claim: Claim, status: number, answer: object): Promise<void> => {
    const { request_id: _, ...kept } = { request_id: '', ...answer };
    const text = JSON.stringify(kept);
    // What was answered can be found out without it as well.
    await retrying(() => keepAnswer(sql, claim, status, text), KEEPING_MS).catch((error: unknown) =>
      log.warn({ app: grant.app, grant: grant.id, err: error }, 'request.answer_not_kept'),
    );
  };
  const refuse = async (claim: Claim, error: unknown): Promise<never> => {
    const refusal = refusalOf(error);
    if (!NOT_KEPT.has(refusal.status)) await keep(claim, refusal.status, errorBody(request, refusal));
    else {
      await giveBack(sql, claim).catch((failure: unknown) =>
        log.warn({ app: grant.app, grant: grant.id, err: failure }, 'request.key_not_freed'),
      );
    }
    throw error;
  };
  const later = (refusal: ApiError, seconds: number): ApiError => {
    reply.header('retry-after', seconds);
    return refusal;
  };

  const hash = requestHash({ what, query: request.query, body: request.body }, files);
  const begun = await begin(sql, { app: grant.app, grantId: grant.id, key, hash });
  switch (begun.kind) {
    case 'run': {
      const answer = await work.run(begun.claim.messageId).catch((error: unknown) => refuse(begun.claim, error));
      await keep(begun.claim, reply.statusCode, answer);
      return answer;
    }
    case 'answered': {
      const kept: unknown = JSON.parse(begun.answer);
      reply.code(begun.status).header(REPLAYED, 'true');
      return { request_id: request.id, ...Object(kept) };
    }
    case 'left': {
      const { claim, message } = begun;
      const answer = await work.again(message);
      if (answer !== null) await keep(claim, reply.statusCode, answer);
      else if (message.state !== 'failed')
        throw message.state === 'unknown'
          ? later(openRefusal(message), RETRY_AFTER_SECONDS.unknown)
          : later(concurrentRefusal(), RETRY_AFTER_SECONDS.running);
      reply.header(REPLAYED, 'true');
      return answer ?? (await refuse(claim, await leftRefusal(sql, message)));
    }
    case 'running':
      throw later(concurrentRefusal(), RETRY_AFTER_SECONDS.running);
    case 'different':
      throw differentRefusal();
  }
}

/** Null for none. */
function keyOf(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && KEY.test(key)) return key;
  const isLong = String(key).length > LONGEST_KEY;
  throw new ApiError(
    400,
    'api.invalid_idempotency_key',
    isLong
      ? 'Idempotency-Key must be 256 characters or fewer.'
      : 'Idempotency-Key must be 1 to 256 visible ASCII characters.',
  );
}
