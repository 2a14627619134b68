// Sessions by mailbox: one at a time, kept for a while after use, because copies come in bursts.
import { createHash } from 'node:crypto';
import { inTime, OutOfTime, TOO_LATE } from '../in-time.ts';
import type { MailNetwork } from '../mail-server.ts';
import type { MailServer } from '../provider.ts';
import type { Auth } from '../secrets-said.ts';
import { type ImapProblem, problemOf } from './problem.ts';
import { cutOff, endSession, openSession, type Session } from './session.ts';

export interface Sessions {
  /**
   * Does `work` in a session of this mailbox, after the calls that came before. Where a kept session breaks, it is
   * done once more in a new one: what it has changed before it throws must not be in the way then.
   */
  use<T>(server: MailServer, auth: Auth, signal: AbortSignal, job: Job<T>): Promise<T>;
  /** Ends the kept sessions and cuts the calls that go on. */
  close(): Promise<void>;
}

export interface Job<T> {
  work(session: Session): Promise<T>;
  failed(problem: ImapProblem): T;
}

export interface SessionsDeps {
  readonly network: MailNetwork;
  readonly keepMs?: number;
}

const KEEP_MS = 15_000;
/** Beyond these the one that has been unused for longest is ended. */
const MOST_KEPT = 100;

interface Kept {
  readonly session: Session;
  readonly timer: NodeJS.Timeout;
}

export function makeSessions(deps: SessionsDeps): Sessions {
  let closed = false;
  const calls = new Set<AbortController>();
  /** The end of the last call of each mailbox. */
  const turns = new Map<string, Promise<void>>();
  /** Longest unused first. */
  const kept = new Map<string, Kept>();

  const take = (key: string): Session | null => {
    const found = kept.get(key);
    if (found === undefined) return null;
    kept.delete(key);
    clearTimeout(found.timer);
    return found.session.client.usable ? found.session : null;
  };

  const end = (key: string): void => {
    const session = take(key);
    if (session !== null) void endSession(session);
  };

  const keep = (key: string, session: Session): void => {
    if (closed) {
      session.client.close();
      return;
    }
    kept.set(key, { session, timer: setTimeout(() => end(key), deps.keepMs ?? KEEP_MS).unref() });
    const [oldest] = kept.keys();
    if (kept.size > MOST_KEPT && oldest !== undefined) end(oldest);
  };

  const attempt = async <T>(key: string, session: Session, signal: AbortSignal, job: Job<T>): Promise<T> => {
    try {
      const result = await cutOff(session.client, signal, () => job.work(session));
      keep(key, session);
      return result;
    } catch (error) {
      session.client.close();
      throw error;
    }
  };

  const run = async <T>(key: string, server: MailServer, auth: Auth, signal: AbortSignal, job: Job<T>): Promise<T> => {
    const session = take(key);
    if (session !== null) {
      try {
        return await attempt(key, session, signal, job);
      } catch (error) {
        if (error instanceof OutOfTime) throw error;
      }
    }
    const opened = await openSession(deps.network, server, auth, signal);
    if ('kind' in opened) return job.failed(opened);
    try {
      return await attempt(key, opened, signal, job);
    } catch (error) {
      return job.failed(error instanceof OutOfTime ? TOO_LATE : problemOf(error, server.host));
    }
  };

  return {
    async use(server, auth, signal, job) {
      if (closed) return job.failed(TOO_LATE);
      const key = keyOf(server, auth);
      const call = new AbortController();
      const abort = (): void => call.abort();
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      calls.add(call);
      const before = turns.get(key) ?? Promise.resolve();
      let finish = (): void => {};
      const mine = new Promise<void>((resolve) => {
        finish = resolve;
      });
      const turn = before.then(() => mine);
      turns.set(key, turn);
      void turn.then(() => turns.get(key) === turn && turns.delete(key));
      try {
        await inTime(call.signal, before);
        return await run(key, server, auth, call.signal, job);
      } catch (error) {
        if (error instanceof OutOfTime) return job.failed(TOO_LATE);
        throw error;
      } finally {
        finish();
        calls.delete(call);
        signal.removeEventListener('abort', abort);
      }
    },

    async close() {
      closed = true;
      for (const call of calls) call.abort();
      const sessions = [...kept.keys()].map(take).filter((session) => session !== null);
      await Promise.all([...sessions.map(endSession), ...turns.values()]);
    },
  };
}

/** The secret is part of it: whoever has another one must not get into a session that this one opened. */
function keyOf(server: MailServer, auth: Auth): string {
  const parts = [server.host, server.port, server.security, server.user, 'password' in auth, Object.values(auth)];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}
