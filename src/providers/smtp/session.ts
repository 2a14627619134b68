// One connection to a mail server, logged in, over which mails are given one after the other.
import type { Socket } from 'node:net';
import SMTPConnection, { type SentMessageInfo, type SMTPError } from 'nodemailer/lib/smtp-connection';
import { type MailBytes, sizeOf } from '../mail-bytes.ts';
import { type MailNetwork, reachServer } from '../mail-server.ts';
import type { MailServer } from '../provider.ts';
import type { Auth } from '../secrets-said.ts';
import { dial } from './dial.ts';
import { makeLetter } from './letter.ts';
import { logIn } from './login.ts';
import { readReply } from './replies.ts';
import { helloName, type Route } from './route.ts';
import { type Phase, type Trouble, troubleOf } from './trouble.ts';

/**
 * `given`: whether any byte of the mail had been. `refused` carries the server's reply; `lost`: the connection ended
 * without one, or did not do as SMTP does. `unread`: the mail could not be read, and the server was not given its end.
 */
export type Handed =
  | { readonly kind: 'taken'; readonly info: SentMessageInfo }
  | { readonly kind: 'refused' | 'lost'; readonly given: boolean; readonly error: SMTPError }
  | { readonly kind: 'unread' };

export interface Session {
  readonly smtpUtf8: boolean;
  /** How many mails it was used for. */
  readonly used: number;
  alive(): boolean;
  /** `tell` is called once at most; a later one takes its place, null for none. */
  whenLost(tell: (() => void) | null): void;
  hand(route: Route, raw: MailBytes, signal: AbortSignal): Promise<Handed>;
  /** Does not keep the process alive until the next mail. */
  rest(): void;
  /** QUIT; waits a second for the answer at most. */
  leave(): Promise<void>;
}

export interface Opening {
  readonly network: MailNetwork;
  readonly server: MailServer;
  readonly auth: Auth;
  /** '' before there is a mail. */
  readonly sender: string;
}

const GREETING_MS = 30_000;
const LEAVE_MS = 1000;
const LARGEST_REPLY = 64 * 1024;
const METHOD = 'CHOSEN';

export async function openSession(opening: Opening, signal: AbortSignal): Promise<Session | Trouble> {
  const { network, server, auth } = opening;
  let phase: Phase = 'dial';
  let line: Line | null = null;
  try {
    const reach = await unlessAborted(signal, reachServer(network, server.host));
    if ('kind' in reach) return reach;
    const socket = await dial(server, reach, signal);
    phase = 'hello';
    let smtpUtf8 = false;
    const connection = new SMTPConnection({
      connection: socket,
      host: server.host,
      port: server.port,
      secure: server.security === 'tls',
      requireTLS: server.security === 'starttls' && !reach.mayBePlain,
      tls: { ...reach.tls },
      name: helloName(socket.localAddress ?? '127.0.0.1', server.user, opening.sender),
      greetingTimeout: GREETING_MS,
      maxResponseSize: LARGEST_REPLY,
      socketCloseTimeout: 0,
      customAuth: {
        [METHOD]: (context) => {
          smtpUtf8 = context.extensions.includes('SMTPUTF8');
          return logIn(context, server.user, auth);
        },
      },
    });
    const opened = makeLine(connection, socket);
    line = opened;
    await opened.during(signal, (done) => connection.connect((error) => done(error ?? null)));
    phase = 'login';
    await opened.during(signal, (done) => connection.login({ method: METHOD, user: server.user }, done));
    return makeSession(opened, smtpUtf8);
  } catch (error) {
    line?.cut();
    return troubleOf(server, auth, { error, phase, heard: line?.heard() ?? false, aborted: signal.aborted });
  }
}

/** A connection together with what is being waited for on it. */
interface Line {
  readonly connection: SMTPConnection;
  readonly socket: Socket;
  /** Settles with what `done` is told, or rejects: as `done` is told, when the connection ends, when `signal` aborts. */
  during<T>(
    signal: AbortSignal,
    start: (done: (error: Error | null, result?: T) => void) => void,
  ): Promise<T | undefined>;
  heard(): boolean;
  alive(): boolean;
  whenLost(tell: (() => void) | null): void;
  cut(): void;
}

function makeLine(connection: SMTPConnection, socket: Socket): Line {
  let loss: Error | null = null;
  let waiting: ((error: Error) => void) | null = null;
  let tellLost: (() => void) | null = null;
  const lose = (error: Error): void => {
    if (loss !== null) return;
    loss = error;
    connection.close(); // destroys: socketCloseTimeout is 0
    socket.destroy();
    waiting?.(error);
    tellLost?.();
  };
  connection.on('error', lose);
  socket.on('error', () => {}); // nodemailer lets go of it once TLS stands on it
  // Later, because what ends a connection is told to its callback right after it.
  const end = (): void => void setImmediate(lose, new Error('the connection was closed'));
  connection.once('end', end);
  socket.once('close', end);
  return {
    connection,
    socket,
    during: (signal, start) =>
      new Promise((resolve, reject) => {
        if (loss !== null) return reject(loss);
        const onAbort = (): void => lose(new Error(String(signal.reason)));
        const settle = (): void => {
          waiting = null;
          signal.removeEventListener('abort', onAbort);
        };
        waiting = (error) => {
          settle();
          reject(error);
        };
        signal.addEventListener('abort', onAbort);
        if (signal.aborted) return onAbort();
        start((error, result) => {
          settle();
          if (error === null) resolve(result);
          else reject(error);
        });
      }),
    heard: () => connection.lastServerResponse !== false,
    alive: () => loss === null && !connection.destroyed && !socket.destroyed && !socket.readableEnded,
    whenLost: (tell) => {
      tellLost = tell;
    },
    cut: () => lose(new Error('the connection was cut')),
  };
}

function makeSession(line: Line, smtpUtf8: boolean): Session {
  const { connection, socket } = line;
  let used = 0;
  /** Of a mail that was refused; MAIL FROM would be out of order. */
  let leftovers = false;

  const give = async (route: Route, raw: MailBytes, signal: AbortSignal): Promise<Handed> => {
    const letter = makeLetter(raw);
    const envelope = { from: route.from, to: [...route.to], size: sizeOf(raw) };
    try {
      const info = await line.during<SentMessageInfo>(signal, (done) => connection.send(envelope, letter.stream, done));
      used++;
      // A reply to a mail that has not been given to its end belongs to something else.
      if (info !== undefined && letter.ended()) return { kind: 'taken', info };
      line.cut();
      return { kind: 'lost', given: true, error: new Error('the server answered before the mail had ended') };
    } catch (thrown) {
      if (letter.failed()) {
        line.cut();
        return { kind: 'unread' };
      }
      const error: SMTPError = thrown instanceof Error ? thrown : new Error(String(thrown));
      const given = letter.began();
      const code = readReply(error.response ?? '')?.code ?? 0;
      const refused = code >= 400 || isOwnRefusal(error);
      if (!refused || (given && !letter.ended())) line.cut();
      leftovers = !given && !isOwnRefusal(error);
      return { kind: refused ? 'refused' : 'lost', given, error };
    } finally {
      letter.stream.destroy(); // nodemailer has forgotten it after a reply
    }
  };

  return {
    smtpUtf8,
    get used() {
      return used;
    },
    alive: line.alive,
    whenLost: line.whenLost,
    async hand(route, raw, signal) {
      socket.ref();
      if (leftovers) {
        try {
          await line.during(signal, (done) => connection.reset(done));
          leftovers = false;
        } catch {
          line.cut();
          return { kind: 'lost', given: false, error: new Error('the connection was of no more use') };
        }
      }
      return give(route, raw, signal);
    },
    rest: () => void socket.unref(),
    leave: () =>
      new Promise((resolve) => {
        if (!line.alive()) return resolve();
        socket.ref();
        const timer = setTimeout(line.cut, LEAVE_MS);
        line.whenLost(() => {
          clearTimeout(timer);
          resolve();
        });
        connection.quit();
      }),
  };
}

/** What nodemailer refuses before it asks the server: an address that cannot be one, a mail larger than the server said. */
export function isOwnRefusal(error: SMTPError): boolean {
  return error.response === undefined && (error.code === 'EENVELOPE' || error.code === 'EMESSAGE');
}

function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Error(String(signal.reason)));
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
