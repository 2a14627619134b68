import { isUuid, uuidTime } from '../ids.ts';
import { parseContent } from './mail-content.ts';
import { parseHead } from './mail-head.ts';
import type { PracticeKept, PracticeStore } from './practice-store.ts';
import type { Account } from './provider.ts';
import { type Cursor, type FoundMail, type MailContent, type Page, WatchBroken, type WatchedMailbox } from './watch.ts';

const PAGE = 200;
/** How long a mail may take from the making of its id to its commit, with the clocks of all processes. */
const LATE_MS = 10_000;
/** Mails of other processes are looked for this often; whether the mailbox still opens is asked when it is read. */
const LOOK_MS = 1000;
const LOOKS = 30;

export interface PracticeWatch {
  readonly store: PracticeStore;
  readonly account: Account;
  readonly key: string;
  /** Unix milliseconds. */
  readonly since: number;
  readonly closed: string;
  readonly lookMs?: number | undefined;
}

/** Where a reading goes on: ids rise with time but become visible out of order, so the last seconds are read again. */
interface Position {
  /** Unix milliseconds: what is older was given. */
  readonly after: number;
  /** Ids later than that which were given. */
  readonly given: readonly string[];
}

/** A practice mailbox that is open: its INBOX and what was sent from it. Nothing in it is ever moved. */
export function practiceWatch({ store, account, key, since, closed, lookMs = LOOK_MS }: PracticeWatch): WatchedMailbox {
  let position: Position = { after: since, given: [] };
  const ended = new AbortController();
  const opened = async (): Promise<void> => {
    if (!(await store.opens(account, key))) throw new WatchBroken({ kind: 'unauthorised', reason: closed });
  };

  return {
    async next(cursor): Promise<Page> {
      await opened();
      position = readCursor(cursor) ?? { after: since, given: [] };
      const kept = await store.later(account, position.after, position.given, PAGE);
      position = moved(position, kept);
      const isLast = kept.length < PAGE;
      return { mails: kept.map(foundMail), cursor: { after: position.after, given: position.given }, isLast };
    },

    async beginnings(places, most) {
      await opened();
      return await store.beginnings(account, places, most);
    },

    async read(place): Promise<MailContent | null> {
      await opened();
      const found = await store.read(account, place, null);
      return found === null ? null : contentOf(found, true);
    },

    async wait(signal): Promise<void> {
      const turn = new AbortController();
      const stop = (): void => turn.abort();
      for (const source of [signal, ended.signal]) source.addEventListener('abort', stop);
      if (signal.aborted || ended.signal.aborted) stop();
      try {
        for (let look = 0; look < LOOKS && !turn.signal.aborted; look += 1) {
          // Listens first: a mail may come while this looks.
          const arrival = store.arrival(account, lookMs, turn.signal);
          if ((await store.later(account, position.after, position.given, 1)).length > 0) return;
          if (await arrival) return;
        }
      } finally {
        stop();
        for (const source of [signal, ended.signal]) source.removeEventListener('abort', stop);
      }
    },

    async close(): Promise<void> {
      ended.abort();
    },
  };
}

export function contentOf(mail: PracticeKept & { readonly raw: Buffer }, withBody: boolean): MailContent {
  const { head, html, text, attachments } = parseContent(mail.raw);
  return {
    place: mail.id,
    folders: [mail.folder],
    receivedAt: mail.receivedAt,
    unread: mail.folder === 'INBOX',
    starred: false,
    threadKey: null,
    head,
    html: withBody ? html : null,
    text: withBody ? text : null,
    attachments,
  };
}

function foundMail(mail: PracticeKept & { readonly head: Buffer }): FoundMail {
  const { id, folder, receivedAt, size } = mail;
  return {
    place: id,
    folder,
    isSent: folder === 'SENT',
    isNew: true,
    receivedAt,
    size,
    threadKey: null,
    head: parseHead(mail.head),
  };
}

function moved(before: Position, kept: readonly PracticeKept[]): Position {
  const newest = kept.reduce((time, { id }) => Math.max(time, uuidTime(id)), 0);
  // A clock that runs ahead must not carry this past what others have yet to keep.
  const after = Math.max(before.after, Math.min(newest, Date.now()) - LATE_MS);
  const given = [...before.given, ...kept.map(({ id }) => id)].filter((id) => uuidTime(id) >= after);
  return { after, given };
}

function readCursor(cursor: Cursor | null): Position | null {
  const { after, given } = cursor ?? {};
  if (typeof after !== 'number' || !Array.isArray(given)) return null;
  return { after, given: given.filter((id) => typeof id === 'string' && isUuid(id)) };
}
