// Mail to the people who answer for a destination, to each a mail of their own. A row of `destination_notices` is the job.
import type { Sql } from '../db/pool.ts';
import type { Log } from '../log.ts';
import type { Letter, Postman } from '../providers/postman.ts';
import type { Clock } from './clock.ts';
import { readCounters } from './counters.ts';
import type { DestinationKind } from './destination.ts';
import { nameOf } from './destination-rules.ts';
import { startLoop } from './loop.ts';
import { type LastFailure, writeNotice } from './notice-text.ts';

export interface NoticesDeps {
  readonly sql: Sql;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly clock: Clock;
  readonly postman: Postman;
  /** Where the API is reached, for what the mail says can be done. */
  readonly publicUrl: string;
  readonly pollMs?: number;
}

export interface Notices {
  wake(): void;
  /** Breaks off the mail under way; the next start sends it. */
  stop(): Promise<void>;
}

interface Notice {
  readonly app: number;
  readonly id: string;
  readonly destinationId: string;
  readonly status: 'failing' | 'failed';
  readonly recipients: readonly string[];
  /** From 1. */
  readonly attempts: number;
  readonly createdAt: Date;
}

const POLL_MS = 10_000;
const MINUTE_MS = 60_000;
/** Longer than a mail may take: what a process that died has claimed is tried again then. */
const CLAIM_MS = 5 * MINUTE_MS;
const LONGEST_WAIT_MS = 60 * MINUTE_MS;
const GIVEN_UP_MS = 24 * 60 * MINUTE_MS;

/**
 * Sends notices, one at a time; several processes may run it. One that is sent twice, because a process died between
 * sending and saying so, has the same Message-ID. A notice of what is over is not sent any more.
 */
export function startNotices(deps: NoticesDeps): Notices {
  const { sql, clock, log } = deps;
  const stopping = new AbortController();
  const loop = startLoop({
    name: 'notices',
    pollMs: deps.pollMs ?? POLL_MS,
    log,
    async run() {
      await clock.keep();
      const notice = await claim(sql, clock.now());
      if (notice === null) return 'idle';
      // After a failure the others wait for the next poll: a server that is down is not asked for each of them.
      return (await deliver(deps, notice, stopping.signal)) ? 'more' : 'idle';
    },
  });
  return {
    wake: () => loop.wake(),
    async stop() {
      stopping.abort(new Error('the service is shutting down'));
      await loop.stop();
    },
  };
}

async function claim(sql: Sql, now: number): Promise<Notice | null> {
  const [notice] = await sql<Notice[]>`
    with due as (
      select app, id from destination_notices where next_attempt_at <= ${new Date(now)}
      order by next_attempt_at
      limit 1
      for update skip locked
    )
    update destination_notices n set attempts = least(n.attempts + 1, 32767), next_attempt_at = ${new Date(now + CLAIM_MS)}
    from due where n.app = due.app and n.id = due.id
    returning n.app, n.id, n.destination_id as "destinationId", n.status, n.recipients, n.attempts,
      n.created_at as "createdAt"`;
  return notice ?? null;
}

/** Answers whether the next one may be tried at once. */
async function deliver(deps: NoticesDeps, notice: Notice, signal: AbortSignal): Promise<boolean> {
  const { sql, log, clock } = deps;
  const subject = await readSubject(sql, notice);
  if (subject === null || subject.status !== notice.status) {
    await remove(sql, notice);
    log.info({ app: notice.app, notice: notice.id, status: notice.status }, 'notice.outdated');
    return true;
  }
  const names = {
    notice: notice.id,
    destination: { app: notice.app, [subject.kind]: nameOf(subject.kind, notice.destinationId) },
    status: notice.status,
    attempt: notice.attempts,
  };
  const posted = await deps.postman.send(await write(deps, notice, subject), signal);
  if (posted.kind === 'taken') {
    await remove(sql, notice);
    log.info({ ...names, recipients: notice.recipients.length, refused: posted.refused }, 'notice.sent');
    return true;
  }
  const now = clock.now();
  if (signal.aborted) {
    await putBack(sql, notice, now);
  } else if (now - notice.createdAt.getTime() >= GIVEN_UP_MS) {
    await remove(sql, notice);
    log.error({ ...names, reason: posted.reason }, 'notice.given_up');
  } else {
    const waitMs = Math.min(MINUTE_MS * 2 ** Math.min(notice.attempts - 1, 10), LONGEST_WAIT_MS);
    await putBack(sql, notice, now + waitMs);
    log.warn({ ...names, reason: posted.reason, waitMs }, 'notice.failed');
  }
  return false;
}

interface Subject {
  readonly kind: DestinationKind;
  readonly address: string;
  readonly description: string;
  readonly status: string;
  readonly application: string;
}

/** Null where the destination was deleted. */
async function readSubject(sql: Sql, { app, destinationId }: Notice): Promise<Subject | null> {
  const [subject] = await sql<Subject[]>`
    select d.kind, d.address, d.description, d.status, a.name as application
    from destinations d join applications a on a.serial = d.app
    where d.app = ${app} and d.id = ${destinationId}`;
  return subject ?? null;
}

async function write({ sql, clock, publicUrl }: NoticesDeps, notice: Notice, subject: Subject): Promise<Letter> {
  const { app, destinationId, status, createdAt } = notice;
  const [counters, last] = await Promise.all([
    readCounters({ sql, now: clock.now() }, app, [destinationId]),
    readLastFailure(sql, notice),
  ]);
  const figures = counters.get(destinationId);
  return {
    id: notice.id,
    to: notice.recipients,
    date: new Date(clock.now()),
    ...writeNotice({
      ...subject,
      status,
      id: nameOf(subject.kind, destinationId),
      publicUrl,
      at: createdAt,
      lastSuccessAt: figures?.lastSuccessAt ?? null,
      last,
      pending: figures?.pending ?? 0,
      held: figures?.held ?? 0,
    }),
  };
}

const LOOKED_AT = 50;

/** The latest failure of the newest notifications that were tried: by the primary key, as nothing orders attempts by time. */
async function readLastFailure(sql: Sql, { app, destinationId }: Notice): Promise<LastFailure | null> {
  const [last] = await sql<LastFailure[]>`
    select started_at as at, outcome, status_code as status, answer
    from (
      select started_at, outcome, status_code, answer from attempts
      where app = ${app} and destination_id = ${destinationId}
      order by notification_id desc, round desc, attempt desc
      limit ${LOOKED_AT}
    ) newest
    where outcome not in ('ok', 'gone', 'unrenderable')
    order by started_at desc
    limit 1`;
  return last ?? null;
}

async function remove(sql: Sql, { app, id }: Notice): Promise<void> {
  await sql`delete from destination_notices where app = ${app} and id = ${id}`;
}

/** Only while the claim is still ours. */
async function putBack(sql: Sql, { app, id, attempts }: Notice, at: number): Promise<void> {
  await sql`
    update destination_notices set next_attempt_at = ${new Date(at)}
    where app = ${app} and id = ${id} and attempts = ${attempts}`;
}
