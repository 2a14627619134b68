import type { SafeFetch } from '../safe-fetch.ts';
import { checkInbox } from './imap/check.ts';
import { findInSent, keepInSent } from './imap/copies.ts';
import { keepInDrafts } from './imap/drafts.ts';
import { readMails } from './imap/read.ts';
import { absenceProves, keepsCopies } from './imap/self-keeping.ts';
import { dial, type Session } from './imap/session.ts';
import { makeSessions } from './imap/sessions.ts';
import { makeSetbacks } from './imap/setbacks.ts';
import { TEMPO, type Tempo } from './imap/tempo.ts';
import { watchable, watchProblemOf } from './imap/watch-problem.ts';
import { watchMailbox } from './imap/watched.ts';
import { makeWire, Refused } from './imap/wire.ts';
import { type Call, withLogin } from './login.ts';
import type { MailNetwork } from './mail-server.ts';
import { makeAccessTokens } from './oauth.ts';
import type {
  Access,
  CheckOutcome,
  CheckProblem,
  CopyOutcome,
  FindOutcome,
  ImapCredentials,
  Provider,
  SendOutcome,
} from './provider.ts';
import { withhold } from './secrets-said.ts';
import { makeSmtp } from './smtp/smtp.ts';
import type { ReadOutcome, WatchedMailbox, WatchOutcome } from './watch.ts';
import { storable, type Told } from './wording.ts';

export interface ImapDeps {
  readonly network: MailNetwork;
  /** To the token endpoints that grants name. */
  readonly safeFetch: Pick<SafeFetch, 'request'>;
  readonly lookAgainMs?: number;
  /** How often watched mailboxes are looked at, where that is not as usual. */
  readonly tempo?: Partial<Tempo>;
}

export interface ImapProvider {
  readonly provider: Provider<ImapCredentials>;
  /** Ends what is watched, and the connections that are kept open between calls; calls that go on are cut. */
  close(): Promise<void>;
}

/** A watched connection is silent for as long as nothing happens: what it is asked has a limit of its own. */
const WATCHED_SILENCE_MS = 1_800_000;

/** Any mail server: SMTP to send, IMAP for the copy in Sent and for drafts, and to watch and read. */
export function imapProvider({ network, safeFetch, lookAgainMs, tempo: hurried }: ImapDeps): ImapProvider {
  const tempo = { ...TEMPO, ...hurried };
  const setbacks = makeSetbacks(tempo.patienceMs);
  const watched = new Set<WatchedMailbox>();
  let closed = false;
  const smtp = makeSmtp({ network });
  const sessions = makeSessions({ network });
  const tokens = makeAccessTokens({ safeFetch });
  const login = { tokens, ...(lookAgainMs !== undefined && { lookAgainMs }) };
  const loggedIn = async <O extends Told>(
    access: Access<ImapCredentials>,
    signal: AbortSignal,
    call: Call<O>,
  ): Promise<O> => storable(await withLogin(login, access, signal, call));

  /** `none` where the mailbox has no IMAP server. */
  const inMailbox = async <O extends FindOutcome | CopyOutcome>(
    access: Access<ImapCredentials>,
    signal: AbortSignal,
    none: O,
    work: (session: Session, credentials: ImapCredentials) => Promise<O | Unavailable>,
  ): Promise<O | Unavailable> => {
    if (access.credentials.imap === null) return none;
    return loggedIn<O | Unavailable>(access, signal, {
      async act(credentials, authFor) {
        const { imap: box } = credentials;
        if (box === null) return none;
        return sessions.use<O | Unavailable>(box, authFor(box), signal, {
          work: (session) => work(session, credentials),
          failed: unavailable,
        });
      },
      isRefusal: ({ kind }) => kind === 'unauthorised',
      failed: unavailable,
    });
  };

  const provider: Provider<ImapCredentials> = {
    check: (_account, access, signal) =>
      loggedIn<CheckOutcome>(access, signal, {
        async act({ smtp: out, imap: box }, authFor) {
          const [sending, reading] = await Promise.all([
            smtp.check(out, authFor(out), signal),
            box === null ? null : checkInbox(network, box, authFor(box), signal),
          ]);
          return checked(sending && { ...sending, at: 'smtp' }, reading && { ...reading, at: 'imap' });
        },
        isRefusal: (outcome) =>
          outcome.kind === 'problems' && outcome.problems.some(({ kind }) => kind === 'unauthorised'),
        failed: (problem) => checked({ ...problem, at: 'oauth' }, null),
      }),

    send: (_account, access, mail, signal) =>
      loggedIn<SendOutcome>(access, signal, {
        act: ({ smtp: out }, authFor) => smtp.send(out, authFor(out), mail, signal),
        isRefusal: ({ kind }) => kind === 'unauthorised',
        failed: (problem) =>
          problem.kind === 'blocked' || problem.kind === 'unusable'
            ? { kind: 'failed', reason: problem.reason }
            : unavailable(problem),
      }),

    findSent: (_account, access, messageId, signal) =>
      inMailbox<FindOutcome>(access, signal, { kind: 'unsure' }, async (session, credentials) => {
        const found = await findInSent(session, messageId);
        const certain = found.kind !== 'absent' || absenceProves(credentials, session.client.capabilities);
        return certain ? found : { kind: 'unsure' };
      }),

    wantsCopy: (credentials) => credentials.imap !== null && !keepsCopies(credentials),

    async keepCopy(_account, access, copy, signal) {
      if (access.credentials.imap !== null && keepsCopies(access.credentials)) return { kind: 'there' };
      return inMailbox<CopyOutcome>(access, signal, NO_IMAP, (session) => keepInSent(session, copy));
    },

    wantsDrafts: (credentials) => credentials.imap !== null,

    keepDraft: (_account, access, draft, signal) =>
      inMailbox<CopyOutcome>(access, signal, draft.version === null ? { kind: 'there' } : NO_IMAP, (session) =>
        keepInDrafts(session, makeWire(session.client, tempo.silenceMs), draft),
      ),

    async watch({ app, grantId }, access, order, signal) {
      if (access.credentials.imap === null || closed) return UNWATCHED;
      return loggedIn<WatchOutcome>(access, signal, {
        async act({ imap: box }, authFor) {
          if (box === null) return UNWATCHED;
          const { host } = box;
          const session = await dial(network, box, authFor(box), signal, {
            silenceMs: WATCHED_SILENCE_MS,
            explain: (error, at, clean) => watchProblemOf(error, at, { clean }),
          });
          if ('kind' in session) return watchable(session);
          const mailbox = watchMailbox(session, {
            mailbox: `${app} ${grantId}`,
            host,
            order,
            tempo,
            setbacks,
            clean: (words) => withhold(words, box.user, authFor(box)),
            onClosed: () => watched.delete(mailbox),
          });
          watched.add(mailbox);
          if (closed) await mailbox.close();
          return { kind: 'open', mailbox };
        },
        isRefusal: ({ kind }) => kind === 'unauthorised',
        failed: watchable,
      });
    },

    async read(_account, access, wanted, signal) {
      const nowhere: ReadOutcome = { kind: 'read', mails: wanted.map(() => null) };
      if (access.credentials.imap === null || wanted.length === 0) return nowhere;
      return loggedIn<ReadOutcome>(access, signal, {
        async act({ imap: box }, authFor) {
          if (box === null) return nowhere;
          return sessions.use<ReadOutcome>(box, authFor(box), signal, {
            async work({ client }) {
              try {
                return { kind: 'read', mails: await readMails(makeWire(client, tempo.silenceMs), wanted) };
              } catch (error) {
                if (error instanceof Refused) {
                  const clean = (words: string): string => withhold(words, box.user, authFor(box));
                  return watchProblemOf(error, box.host, { clean });
                }
                throw error;
              }
            },
            failed: watchable,
          });
        },
        isRefusal: ({ kind }) => kind === 'unauthorised',
        failed: watchable,
      });
    },
  };
  return {
    provider,
    async close() {
      closed = true;
      const watches = [...watched].map((mailbox) => mailbox.close());
      await Promise.all([smtp.close(), sessions.close(), tokens.close(), ...watches]);
    },
  };
}

const UNWATCHED: WatchOutcome = { kind: 'unreachable', reason: 'no IMAP server is known for this mailbox' };
const NO_IMAP: CopyOutcome = { kind: 'refused', reason: 'no IMAP server is known for this mailbox' };

function checked(...found: readonly (CheckProblem | null)[]): CheckOutcome {
  const [first, ...rest] = found.filter((problem) => problem !== null);
  return first === undefined ? { kind: 'works' } : { kind: 'problems', problems: [first, ...rest] };
}

interface Unavailable {
  readonly kind: 'unauthorised' | 'unreachable';
  readonly reason: string;
}

/** Apart from a refused login, whatever stands in the way may have gone later: a certificate, an address, a setting. */
function unavailable({ kind, reason }: Pick<CheckProblem, 'kind' | 'reason'>): Unavailable {
  return { kind: kind === 'unauthorised' ? kind : 'unreachable', reason };
}
