// Sending through a mailbox's own SMTP server. Not by nodemailer's pool: it gives a mail again when its connection
// closes, whether or not the server had taken it.
import { createHash } from 'node:crypto';
import type { MailNetwork } from '../mail-server.ts';
import type { CheckProblem, MailServer, OutgoingMail, SendOutcome } from '../provider.ts';
import type { Auth } from '../secrets-said.ts';
import { handedOutcome, troubleOutcome, troubleProblem } from './outcomes.ts';
import { type Kept, makePlaces, type Place } from './places.ts';
import { readReply } from './replies.ts';
import { routeOf } from './route.ts';
import { type Handed, openSession, type Session } from './session.ts';

export interface Smtp {
  /** Connects, logs in and leaves; null when that works. 20 s at most. */
  check(server: MailServer, auth: Auth, signal: AbortSignal): Promise<CheckProblem | null>;
  send(server: MailServer, auth: Auth, mail: OutgoingMail, signal: AbortSignal): Promise<SendOutcome>;
  /** Mailboxes with a connection open. */
  readonly mailboxes: number;
  /** Cuts what goes on and leaves the connections that are kept; a second at most. */
  close(): Promise<void>;
}

export interface SmtpDeps {
  readonly network: MailNetwork;
  readonly limits?: Partial<SmtpLimits>;
}

export interface SmtpLimits {
  /** At a mailbox at once; Microsoft 365 allows three. */
  readonly connections: number;
  /** Servers close an idle connection after five minutes (RFC 5321 section 4.5.3.2.7), some much sooner. */
  readonly idleMs: number;
  /** Idle ones of all mailboxes together; each is a file descriptor. */
  readonly kept: number;
  readonly mailsPerConnection: number;
  readonly checkMs: number;
}

const LIMITS: SmtpLimits = { connections: 3, idleMs: 30_000, kept: 300, mailsPerConnection: 100, checkMs: 20_000 };
const TOO_LATE = 'the time for this call was over';
const NOBODY = 'nobody is left whom it could be sent to';
const CLOSING = 'the service is shutting down';

interface Connection extends Session, Kept {}

export function makeSmtp({ network, limits }: SmtpDeps): Smtp {
  const { mailsPerConnection, checkMs, ...waiting } = { ...LIMITS, ...limits };
  const places = makePlaces<Connection>(waiting);
  const calls = new Set<AbortController>();
  let closed = false;

  /** Runs with a signal that aborts with a sentence, also when everything is closed. */
  const during = async <T>(signal: AbortSignal, run: (own: AbortSignal) => Promise<T>): Promise<T> => {
    const call = new AbortController();
    const stop = (): void => call.abort(TOO_LATE);
    calls.add(call);
    signal.addEventListener('abort', stop);
    if (closed) call.abort(CLOSING);
    else if (signal.aborted) stop();
    try {
      return await run(call.signal);
    } finally {
      signal.removeEventListener('abort', stop);
      calls.delete(call);
    }
  };

  const sendAt = async (
    place: Place<Connection>,
    open: () => ReturnType<typeof openSession>,
    secret: string,
    mail: OutgoingMail,
    signal: AbortSignal,
  ): Promise<SendOutcome> => {
    let connection = place.kept;
    try {
      for (;;) {
        const reused = connection !== null;
        if (connection === null) {
          const opened = await open();
          if ('kind' in opened) return troubleOutcome(opened);
          connection = Object.assign(opened, { secret, worn: () => opened.used >= mailsPerConnection });
        }
        const route = routeOf(mail.envelope, connection.smtpUtf8);
        if (typeof route === 'string') return { kind: 'failed', reason: route };
        if (route.to.length === 0) return { kind: 'rejected', reason: NOBODY, refused: route.refused };
        const handed = await connection.hand(route, mail.raw, signal);
        if (!(reused && wasStale(handed)) || signal.aborted) return handedOutcome(handed, mail, route);
        connection = null;
      }
    } finally {
      place.giveBack(connection);
    }
  };

  return {
    check: (server, auth, signal) =>
      during(signal, async (own) => {
        const timer = new AbortController();
        const timeout = setTimeout(() => timer.abort(`${checkMs / 1000} s were over`), checkMs);
        own.addEventListener('abort', () => timer.abort(own.reason), { once: true });
        if (own.aborted) timer.abort(own.reason);
        try {
          const opened = await openSession({ network, server, auth, sender: '' }, timer.signal);
          if ('kind' in opened) return troubleProblem(opened);
          await opened.leave();
          return null;
        } finally {
          clearTimeout(timeout);
        }
      }),

    send: (server, auth, mail, signal) =>
      during(signal, async (own) => {
        if (own.aborted) return { kind: 'unreachable', reason: String(own.reason) };
        const secret = digestOf(auth);
        const mailbox = JSON.stringify([server.host.toLowerCase(), server.port, server.security, server.user]);
        const asked = performance.now();
        const place = await places.take(mailbox, secret, own);
        const queuedMs = performance.now() - asked;
        if (place === null && closed) return { kind: 'unreachable', reason: CLOSING };
        if (place === null) return { kind: 'throttled', reason: busy(waiting.connections) };
        const opening = { network, server, auth, sender: mail.envelope.from };
        const outcome = await sendAt(place, () => openSession(opening, own), secret, mail, own);
        // Its turn came too late: what it then says of the connection is only that its time was over.
        const starved =
          outcome.kind === 'unreachable' && signal.aborted && queuedMs > performance.now() - asked - queuedMs;
        return starved ? { kind: 'throttled', reason: busy(waiting.connections) } : outcome;
      }),

    get mailboxes() {
      return places.mailboxes;
    },

    async close() {
      closed = true;
      const emptied = places.close();
      for (const call of calls) call.abort(CLOSING);
      await emptied;
    },
  };
}

/** A kept connection that the server had given up: nothing was given, so it is tried once more on a new one. */
function wasStale(handed: Handed): boolean {
  if (handed.kind === 'taken' || handed.kind === 'unread' || handed.given) return false;
  return handed.kind === 'lost' || readReply(handed.error.response ?? '')?.code === 421;
}

function busy(connections: number): string {
  return `all ${connections} connections to this mailbox were busy until the time for this call was over; nothing was sent`;
}

function digestOf(auth: Auth): string {
  const [kind, secret] = 'accessToken' in auth ? ['token', auth.accessToken] : ['password', auth.password];
  return createHash('sha256').update(`${kind}\0${secret}`).digest('base64');
}
