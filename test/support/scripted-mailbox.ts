// A mail server whose mailboxes lie in memory, through the Provider port: to be cut, to refuse, to hang.
import type { ImapCredentials, Provider } from '../../src/providers/provider.ts';
import {
  type Cursor,
  type FoundMail,
  type Page,
  type WantedMail,
  WatchBroken,
  type WatchedMailbox,
  type WatchOrder,
  type WatchOutcome,
  type WatchProblem,
} from '../../src/providers/watch.ts';

export interface ScriptedServer {
  readonly provider: Provider<ImapCredentials>;
  /** Grants that are connected, one entry for each connection. */
  readonly connected: readonly string[];
  /** When logins began, by `performance.now()`, and whose they were. */
  readonly logins: readonly { readonly at: number; readonly grantId: string; readonly order: WatchOrder }[];
  /** Logins that were under way together, at most. */
  readonly mostAtOnce: number;
  readonly underWay: number;
  /** Cursors that were asked for, per grant. */
  asked(grantId: string): readonly (Cursor | null)[];
  deliver(grantId: string, ...subjects: readonly string[]): void;
  /** Ends every connection, as a server that restarts does. */
  cut(problem?: WatchProblem): void;
  /** What logins are answered instead of being let in; null lets them in. */
  refuse: ((grantId: string) => WatchProblem | null) | null;
  /** How long a login takes. */
  loginMs: number;
  /** Logins are never answered, not even when they are told to stop. */
  isDeaf: boolean;
}

const REFUSED_CUT: WatchProblem = { kind: 'unreachable', reason: 'the server closed the connection' };
const PAGE = 500;
/** The subject of a mail that the server cannot give. */
export const UNREADABLE = 'unreadable';

export function scriptedServer(): ScriptedServer {
  const mailboxes = new Map<string, FoundMail[]>();
  const asked = new Map<string, (Cursor | null)[]>();
  const sessions = new Set<{ readonly grantId: string; wake(): void; cut(problem: WatchProblem): void }>();
  const logins: { at: number; grantId: string; order: WatchOrder }[] = [];
  let underWay = 0;
  let mostAtOnce = 0;

  const open = (grantId: string): WatchedMailbox => {
    let problem: WatchProblem | null = null;
    let hear = (): void => {};
    const session = {
      grantId,
      wake: () => hear(),
      cut(why: WatchProblem) {
        problem = why;
        sessions.delete(session);
        hear();
      },
    };
    sessions.add(session);
    const check = (): void => {
      if (problem !== null) throw new WatchBroken(problem);
    };
    let read = 0;
    return {
      async next(cursor) {
        check();
        asked.set(grantId, [...(asked.get(grantId) ?? []), cursor]);
        const mails = mailboxes.get(grantId) ?? [];
        const from = typeof cursor?.uid === 'number' ? cursor.uid : 0;
        const here = mails.slice(from, from + PAGE);
        const isBad = ({ head }: FoundMail): boolean => head.subject === UNREADABLE;
        const page: Page = {
          mails: here.filter((mail) => !isBad(mail)),
          skipped: here.filter(isBad).map(({ place }) => place),
          cursor: { uid: Math.min(mails.length, from + PAGE) },
          isLast: from + PAGE >= mails.length,
        };
        read = mails.length;
        return page;
      },
      async beginnings() {
        check();
        return new Map();
      },
      async read(_place) {
        check();
        return null;
      },
      async wait(signal) {
        check();
        if (read < (mailboxes.get(grantId) ?? []).length || signal.aborted) return;
        await new Promise<void>((resolve) => {
          hear = resolve;
          signal.addEventListener('abort', hear, { once: true });
        });
        signal.removeEventListener('abort', hear);
        check();
      },
      async close() {
        sessions.delete(session);
      },
    };
  };

  const server: ScriptedServer = {
    provider: {
      check: async () => ({ kind: 'works' }),
      send: async (_account, _access, mail) => ({ kind: 'sent', messageId: mail.messageId, refused: [] }),
      findSent: async () => ({ kind: 'absent' }),
      wantsCopy: () => false,
      keepCopy: async () => ({ kind: 'kept' }),
      wantsDrafts: () => false,
      keepDraft: async () => ({ kind: 'there' }),
      read: async (_account, _access, wanted: readonly WantedMail[]) => ({
        kind: 'read',
        mails: wanted.map(() => null),
      }),
      async watch({ grantId }, _access, order): Promise<WatchOutcome> {
        logins.push({ at: performance.now(), grantId, order });
        underWay += 1;
        mostAtOnce = Math.max(mostAtOnce, underWay);
        try {
          if (server.isDeaf) await new Promise(() => {});
          if (server.loginMs > 0) await new Promise((resolve) => setTimeout(resolve, server.loginMs));
          return server.refuse?.(grantId) ?? { kind: 'open', mailbox: open(grantId) };
        } finally {
          underWay -= 1;
        }
      },
    },
    get connected() {
      return [...sessions].map(({ grantId }) => grantId);
    },
    logins,
    get mostAtOnce() {
      return mostAtOnce;
    },
    get underWay() {
      return underWay;
    },
    asked: (grantId) => asked.get(grantId) ?? [],
    deliver(grantId, ...subjects) {
      const mails = mailboxes.get(grantId) ?? [];
      mailboxes.set(grantId, mails);
      for (const subject of subjects) mails.push(mailOf(mails.length + 1, subject));
      for (const session of sessions) if (session.grantId === grantId) session.wake();
    },
    cut(problem = REFUSED_CUT) {
      for (const session of [...sessions]) session.cut(problem);
    },
    refuse: null,
    loginMs: 0,
    isDeaf: false,
  };
  return server;
}

function mailOf(uid: number, subject: string): FoundMail {
  const nobody: readonly never[] = [];
  return {
    place: `INBOX ${uid}`,
    folder: 'INBOX',
    isSent: false,
    isNew: true,
    receivedAt: new Date(),
    size: 1000,
    threadKey: null,
    head: {
      messageId: `<${uid}.${subject.length}@client.test>`,
      inReplyTo: [],
      references: [],
      subject,
      from: [{ name: '', email: 'kim@client.test' }],
      ...{ sender: nobody, to: nobody, cc: nobody, bcc: nobody, replyTo: nobody },
      writtenAt: null,
      fields: [],
    },
  };
}
