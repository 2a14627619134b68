import type { SafeFetch } from '../safe-fetch.ts';
import { checkInbox } from './imap/check.ts';
import { findInSent, keepInSent } from './imap/copies.ts';
import { absenceProves, keepsCopies } from './imap/self-keeping.ts';
import { makeSessions } from './imap/sessions.ts';
import { type Call, withLogin } from './login.ts';
import type { MailNetwork } from './mail-server.ts';
import { makeAccessTokens } from './oauth.ts';
import type {
  CheckOutcome,
  CheckProblem,
  CopyOutcome,
  FindOutcome,
  ImapCredentials,
  Provider,
  Renewed,
} from './provider.ts';
import { makeSmtp } from './smtp/smtp.ts';

export interface ImapDeps {
  readonly network: MailNetwork;
  /** To the token endpoints that grants name. */
  readonly safeFetch: Pick<SafeFetch, 'request'>;
}

export interface ImapProvider {
  readonly provider: Provider<ImapCredentials>;
  /** Ends the connections that are kept open between calls; calls that go on are cut. */
  close(): Promise<void>;
}

/** Any mail server: SMTP to send, IMAP for the copy in Sent. */
export function imapProvider({ network, safeFetch }: ImapDeps): ImapProvider {
  const smtp = makeSmtp({ network });
  const sessions = makeSessions({ network });
  const tokens = makeAccessTokens({ safeFetch });
  const loggedIn = <O extends object>(
    credentials: ImapCredentials,
    signal: AbortSignal,
    call: Call<O>,
  ): Promise<O & Renewed<ImapCredentials>> => withLogin(tokens, credentials, signal, call);

  const provider: Provider<ImapCredentials> = {
    check: (_account, credentials, signal) =>
      loggedIn<CheckOutcome<never>>(credentials, signal, {
        async act(authFor) {
          const { smtp: out, imap: box } = credentials;
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

    send: (_account, credentials, mail, signal) =>
      loggedIn(credentials, signal, {
        act: (authFor) => smtp.send(credentials.smtp, authFor(credentials.smtp), mail, signal),
        isRefusal: ({ kind }) => kind === 'unauthorised',
        failed: (problem) =>
          problem.kind === 'blocked' || problem.kind === 'unusable'
            ? { kind: 'failed', reason: problem.reason }
            : unavailable(problem),
      }),

    async findSent(_account, credentials, messageId, signal) {
      const { imap: box } = credentials;
      if (box === null) return { kind: 'unsure' };
      return loggedIn<FindOutcome<never>>(credentials, signal, {
        act: (authFor) =>
          sessions.use<FindOutcome<never>>(box, authFor(box), signal, {
            async work(session) {
              const found = await findInSent(session, messageId);
              const certain = found.kind !== 'absent' || absenceProves(credentials, session.client.capabilities);
              return certain ? found : { kind: 'unsure' };
            },
            failed: unavailable,
          }),
        isRefusal: ({ kind }) => kind === 'unauthorised',
        failed: unavailable,
      });
    },

    wantsCopy: (credentials) => credentials.imap !== null && !keepsCopies(credentials),

    async keepCopy(_account, credentials, copy, signal) {
      const { imap: box } = credentials;
      if (box === null) return { kind: 'refused', reason: 'no IMAP server is known for this mailbox' };
      if (keepsCopies(credentials)) return { kind: 'there' };
      return loggedIn<CopyOutcome<never>>(credentials, signal, {
        act: (authFor) =>
          sessions.use<CopyOutcome<never>>(box, authFor(box), signal, {
            work: (session) => keepInSent(session, copy),
            failed: unavailable,
          }),
        isRefusal: ({ kind }) => kind === 'unauthorised',
        failed: unavailable,
      });
    },
  };
  return {
    provider,
    async close() {
      await Promise.all([smtp.close(), sessions.close()]);
    },
  };
}

function checked(...found: readonly (CheckProblem | null)[]): CheckOutcome<never> {
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
