// A mailbox on a mail host of one's own that is watched as the service watches it, only faster.
import { parseRanges } from '../../src/addresses.ts';
import type { Tempo } from '../../src/providers/imap/tempo.ts';
import { type ImapProvider, imapProvider } from '../../src/providers/imap.ts';
import type { ImapCredentials } from '../../src/providers/provider.ts';
import type { Cursor, FoundMail, Page, WatchedMailbox, WatchOrder } from '../../src/providers/watch.ts';
import { makeSafeFetch } from '../../src/safe-fetch.ts';
import { accessTo } from './provider-contract.ts';

export const account = { app: 1, grantId: '019a0000-0000-7000-8000-000000000002', email: 'alice@example.test' };

/** Looks at the folders five times in a second, and gives a server up after one. */
export const HASTE: Tempo = {
  pollMs: 200,
  mutePollMs: 100,
  silenceMs: 1000,
  listMs: 0,
  sureMs: 60_000,
  turnMs: 5000,
  patienceMs: 0,
};

/** Finds every host on this machine. */
export function hastyProvider(ca: string | null, tempo: Partial<Tempo> = {}): ImapProvider {
  const policy = { allowLoopback: true, allowPrivateTargets: parseRanges('') };
  const safeFetch = makeSafeFetch(policy);
  const names = { lookUp: async () => ['127.0.0.1'] };
  const made = imapProvider({ network: { ...policy, names, ca }, safeFetch, tempo: { ...HASTE, ...tempo } });
  return {
    provider: made.provider,
    async close() {
      await made.close();
      await safeFetch.close();
    },
  };
}

/** `port` speaks IMAP in the clear, and is on this machine. */
export function plainMailbox(port: number, user: string, password: string): ImapCredentials {
  const server = { host: '127.0.0.1', port, security: 'starttls', user, password } as const;
  return { provider: 'imap', smtp: server, imap: server };
}

export async function opened(
  { provider }: ImapProvider,
  credentials: ImapCredentials,
  order: Partial<WatchOrder> = {},
): Promise<WatchedMailbox> {
  const all = { folders: [], since: new Date(Date.now() - 3_600_000), ...order };
  const outcome = await provider.watch(account, accessTo(credentials), all, AbortSignal.timeout(10_000));
  if (outcome.kind !== 'open') throw new Error(`${outcome.kind}: ${outcome.reason}`);
  return outcome.mailbox;
}

export interface Caught {
  readonly mails: readonly FoundMail[];
  readonly cursor: Cursor;
  readonly pages: readonly Page[];
}

/** Everything that is there now. */
export async function catchUp(mailbox: WatchedMailbox, from: Cursor | null): Promise<Caught> {
  const pages: Page[] = [];
  for (;;) {
    const page = await mailbox.next(pages.at(-1)?.cursor ?? from);
    pages.push(page);
    if (page.isLast) return { mails: pages.flatMap(({ mails }) => mails), cursor: page.cursor, pages };
  }
}

/** Waits until something comes. */
export async function nextCome(mailbox: WatchedMailbox, from: Cursor): Promise<Caught> {
  const late = AbortSignal.timeout(10_000);
  let cursor = from;
  for (;;) {
    await mailbox.wait(late);
    const caught = await catchUp(mailbox, cursor);
    if (caught.mails.length > 0) return caught;
    if (late.aborted) throw new Error('nothing came');
    cursor = caught.cursor;
  }
}
