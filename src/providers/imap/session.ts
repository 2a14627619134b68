import { ImapFlow } from 'imapflow';
import { inTime, OutOfTime, TOO_LATE } from '../in-time.ts';
import { type MailNetwork, type Reachable, reachServer } from '../mail-server.ts';
import type { MailServer } from '../provider.ts';
import { type Auth, withhold } from '../secrets-said.ts';
import { type ImapProblem, problemOf } from './problem.ts';

/** What a folder of the mailbox is for; also its name where it has to be made. */
export type OwnUse = 'Sent' | 'Drafts' | 'Trash';

/** A connection that is logged in. */
export interface Session {
  readonly client: ImapFlow;
  /** The folders that were looked for and found. */
  readonly paths: Map<OwnUse, string>;
}

const CONNECT_MS = 20_000;
/** Node's quarter of a second gives up on a second address across an ocean. */
const ADDRESS_MS = 1000;
const GREETING_MS = 20_000;
/** Longer than a connection is kept unused, so that silence alone does not end it before. */
const SILENCE_MS = 60_000;
const LOGOUT_MS = 2_000;
// What a server may make us hold at once: of a mail no more than a part that was asked for by its length.
const LIMITS = { maxLineLength: 4_194_304, maxLiteralSize: 4_194_304, maxResponseSize: 8_388_608 };

export interface Manner<P> {
  /** After such a silence the connection is given up, whether or not something was asked. */
  readonly silenceMs: number;
  /** Why it could not be opened; `clean` takes out of the server's words what must not be told on. */
  readonly explain: (error: unknown, host: string, clean: (words: string) => string) => P;
}

/** Connects and logs in. */
export function openSession(
  network: MailNetwork,
  server: MailServer,
  auth: Auth,
  signal: AbortSignal,
): Promise<Session | ImapProblem> {
  return dial(network, server, auth, signal, { silenceMs: SILENCE_MS, explain: problemOf });
}

/** Connects and logs in, for a session of another kind. */
export async function dial<P>(
  network: MailNetwork,
  server: MailServer,
  auth: Auth,
  signal: AbortSignal,
  { silenceMs, explain }: Manner<P>,
): Promise<Session | ImapProblem | P> {
  if (signal.aborted) return TOO_LATE;
  let client: ImapFlow | null = null;
  try {
    const reach = await inTime(signal, reachServer(network, server.host));
    if ('kind' in reach) return reach;
    const dialled = clientFor(server, auth, reach, silenceMs);
    client = dialled;
    await cutOff(dialled, signal, () => dialled.connect());
    return { client, paths: new Map() };
  } catch (error) {
    client?.close(); // after a refused login the connection stays open otherwise, for as long as the server likes
    const clean = (text: string): string => withhold(text, server.user, auth);
    return error instanceof OutOfTime ? TOO_LATE : explain(error, server.host, clean);
  }
}

/** Runs `work`, closing the connection the moment the signal aborts; rejects then with {@link OutOfTime}. */
export async function cutOff<T>(client: ImapFlow, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const close = (): void => client.close();
  signal.addEventListener('abort', close, { once: true });
  try {
    if (signal.aborted) throw new OutOfTime();
    return await inTime(signal, work());
  } finally {
    signal.removeEventListener('abort', close);
  }
}

/** Says good-bye, and hangs up whether or not it is answered. Never rejects. */
export async function endSession({ client }: Session): Promise<void> {
  const timer = setTimeout(() => client.close(), LOGOUT_MS);
  timer.unref();
  await client.logout().catch(() => {});
  clearTimeout(timer);
  client.close();
}

function clientFor(server: MailServer, auth: Auth, reach: Reachable, silenceMs: number): ImapFlow {
  const options = { ...reach.tls, lookup: reach.lookup, autoSelectFamilyAttemptTimeout: ADDRESS_MS, noDelay: true };
  const client = new ImapFlow({
    host: server.host,
    port: server.port,
    secure: server.security === 'tls',
    // Where a plain connection is allowed it is still upgraded if the server offers it.
    ...(server.security === 'starttls' && !reach.mayBePlain && { doSTARTTLS: true }),
    auth:
      'accessToken' in auth
        ? { user: server.user, accessToken: auth.accessToken }
        : { user: server.user, pass: auth.password },
    tls: options,
    logger: false,
    disableCompression: true,
    disableAutoIdle: true,
    disableAutoEnable: true,
    clientInfo: { name: 'Telltale', version: false, vendor: false, 'support-url': false },
    connectionTimeout: CONNECT_MS,
    greetingTimeout: GREETING_MS,
    socketTimeout: silenceMs,
    ...LIMITS,
  });
  client.on('error', () => {}); // it closes itself, and whoever waits for an answer is told
  return client;
}
