// What is told of sends: written with the state of the message, read at delivery.
import { emitFrom } from '../db/outbox.ts';
import type { Query } from '../db/pool.ts';

export interface Party {
  /** '' for none. */
  readonly name: string;
  readonly email: string;
}

export interface SendFailure {
  /** What happened, in our words. */
  readonly reason: string;
  readonly error: {
    readonly type: string;
    /** In the provider's words where there are any. */
    readonly message: string;
    /** The provider's where it gave one, else the one that the API answered; null where it answered none. */
    readonly statusCode: number | null;
    readonly providerError: object | null;
  };
}

/** A mail as its author asked for it. */
export interface ToldMail {
  readonly subject: string;
  readonly snippet: string;
  readonly from: readonly Party[];
  readonly to: readonly Party[];
  readonly cc: readonly Party[];
  readonly bcc: readonly Party[];
  readonly replyTo: readonly Party[];
  readonly scheduleId: string | null;
  /** Unix seconds. */
  readonly sendAt: number | null;
  readonly useDraft: boolean;
}

/** Of a mail that only its row is left of, the subject alone is known; all else is empty. */
export interface SendDetail extends ToldMail {
  /** Null: it was sent. */
  readonly failure: SendFailure | null;
}

/** What a settlement brings along for the fact of it. */
export interface Telling {
  /** Also where the caller has it from the answer. */
  readonly always: boolean;
  /** What is known beside the message's row, as JSON text. */
  readonly detail: string;
}

/** `mail` null: the row says all that is known of it. */
export function telling(always: boolean, mail: ToldMail | null, failure: SendFailure | null): Telling {
  const detail = { ...(mail !== null && mailToStore(mail)), ...(failure !== null && failureToStore(failure)) };
  return { always, detail: JSON.stringify(detail, storable) };
}

/** Writes the facts of those rows of the query's `settled` (app, id, state, subject, detail, told) that are to be told. */
export function factsOfSettled(sql: Query): ReturnType<typeof emitFrom> {
  return emitFrom(
    sql,
    sql`
      select app, case state when 'sent' then 'message.send_success' else 'message.send_failed' end, id,
        jsonb_build_object('subject', subject) || detail::jsonb, now()
      from settled where told`,
  );
}

/** What was told of a settled message, read back from the database. Null for anything else. */
export function readSendDetail(stored: unknown): SendDetail | null {
  if (!isObject(stored)) return null;
  const { subject = '', snippet = '', from = [], to = [], cc = [], bcc = [], reply_to: replyTo = [] } = stored;
  const { schedule_id: scheduleId = null, send_at: sendAt = null, use_draft: useDraft = false } = stored;
  if (typeof subject !== 'string' || typeof snippet !== 'string' || typeof useDraft !== 'boolean') return null;
  if (!isParties(from) || !isParties(to) || !isParties(cc) || !isParties(bcc) || !isParties(replyTo)) return null;
  if (!isTextOrNull(scheduleId) || !isNumberOrNull(sendAt)) return null;
  const failure = stored.failure == null ? null : readFailure(stored.failure);
  if (failure === undefined) return null;
  return { subject, snippet, from, to, cc, bcc, replyTo, scheduleId, sendAt, useDraft, failure };
}

function mailToStore({ replyTo, scheduleId, sendAt, useDraft, ...mail }: ToldMail): object {
  return { ...mail, reply_to: replyTo, schedule_id: scheduleId, send_at: sendAt, use_draft: useDraft };
}

function failureToStore({ reason, error }: SendFailure): object {
  const { type, message, statusCode, providerError } = error;
  return { failure: { reason, error: { type, message, status_code: statusCode, provider_error: providerError } } };
}

/** Of what the database refuses in JSON a mark is left: what is told never keeps the outcome from being written. */
function storable(_name: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '\ufffd') : value;
}

function readFailure(stored: unknown): SendFailure | undefined {
  if (!isObject(stored) || typeof stored.reason !== 'string' || !isObject(stored.error)) return undefined;
  const { type, message, status_code: statusCode = null, provider_error: providerError = null } = stored.error;
  if (typeof type !== 'string' || typeof message !== 'string' || !isNumberOrNull(statusCode)) return undefined;
  if (typeof providerError !== 'object') return undefined;
  return { reason: stored.reason, error: { type, message, statusCode, providerError } };
}

function isParties(value: unknown): value is readonly Party[] {
  return Array.isArray(value) && value.every(isParty);
}

function isParty(value: unknown): value is Party {
  return isObject(value) && typeof value.name === 'string' && typeof value.email === 'string';
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function isNumberOrNull(value: unknown): value is number | null {
  return value === null || typeof value === 'number';
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
