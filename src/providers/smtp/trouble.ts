// Why no usable connection to a mail server came about.

import { certificateProblem } from '../mail-server.ts';
import type { MailServer } from '../provider.ts';
import { type Auth, withhold } from '../secrets-said.ts';
import { shortened } from '../wording.ts';
import { LoginError } from './login.ts';
import { judge, type Reply, readReply, shownReply, type Verdict } from './replies.ts';

/** `refused`: the server itself said so, by a reply. Nothing of a mail had been given in any of these. */
export type Trouble =
  | { readonly kind: 'unreachable' | 'certificate' | 'blocked' | 'unusable'; readonly reason: string }
  | { readonly kind: 'refused'; readonly verdict: Verdict; readonly reply: Reply };

/** How far it had come. `hello`: everything between the connection and the login, TLS included. */
export type Phase = 'dial' | 'hello' | 'login';

/** What is known about a connection that failed. */
export interface Failed {
  readonly error: unknown;
  readonly phase: Phase;
  /** Whether the server has said anything that could be read. */
  readonly heard: boolean;
  /** By us, for the time was over or the service ends; the error says which. */
  readonly aborted: boolean;
}

export function troubleOf(server: MailServer, auth: Auth, { error, phase, heard, aborted }: Failed): Trouble {
  if (error instanceof LoginError) {
    if (error.problem.kind === 'unusable') return error.problem;
    return { kind: 'refused', verdict: judge('auth', error.problem.reply), reply: error.problem.reply };
  }
  const name = `${server.host}:${server.port}`;
  const clean = (text: string): string => (phase === 'login' ? withhold(text, server.user, auth) : text);
  const message = clean(error instanceof Error ? error.message : String(error));
  const unreachable = (what: string): Trouble => ({ kind: 'unreachable', reason: shortened(`${name} ${what}`) });

  const certificate = certificateProblem(error);
  if (certificate !== null) return { kind: 'certificate', reason: `${name}: ${certificate}` };
  const silent = phase === 'hello' && !heard;
  const hint = silent && server.security === 'starttls' ? '; the port may expect TLS from the first byte on' : '';
  if (aborted) {
    const yet = phase === 'dial' ? 'could not be reached' : silent ? 'sent no greeting' : 'did not come to the login';
    return unreachable(`${phase === 'login' ? 'did not answer the login' : yet} (${message})${hint}`);
  }
  if (phase === 'dial') return unreachable(REFUSED_DIAL[codeOf(error)] ?? `cannot be reached: ${message}`);
  if (textOf(error, 'command') === 'STARTTLS') return unreachable(NO_STARTTLS);
  const response = clean(textOf(error, 'response'));
  const reply = readReply(response);
  if (reply !== null) {
    const verdict = judge('greeting', reply); // nothing that was not asked is about the credentials
    return { kind: 'refused', verdict, reply };
  }
  if (response !== '') return unreachable(`does not speak SMTP: ${response}`);
  if (NOT_TLS.test(message)) return unreachable('does not begin with TLS; the port may be for STARTTLS');
  if (OLD_TLS.test(message)) return unreachable('speaks no TLS 1.2 or newer');
  if (silent) return unreachable(`sent no greeting (${message})${hint}`);
  return unreachable(`broke off ${phase === 'login' ? 'at' : 'before'} the login: ${message}`);
}

/** Of a refusal, the reply as it may be shown. */
export function reasonOf(trouble: Trouble): string {
  return trouble.kind === 'refused' ? shownReply(trouble.reply) : trouble.reason;
}

const REFUSED_DIAL: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'does not answer: nothing listens there',
  ETIMEDOUT: 'does not answer: the connection timed out',
  EHOSTUNREACH: 'does not answer: no way leads there',
  ENETUNREACH: 'does not answer: no way leads there',
};
const NO_STARTTLS = 'offers no STARTTLS that works, and credentials do not go without TLS';
// OpenSSL's words for plain text where a TLS record should be.
const NOT_TLS =
  /wrong version number|packet length too long|record layer|http request|unknown protocol|bad record type/i;
const OLD_TLS = /unsupported protocol|protocol version|no protocols available/i;

function codeOf(error: unknown): string {
  return textOf(error, 'originalCode') || textOf(error, 'code');
}

function textOf(error: unknown, name: string): string {
  const value: unknown = error instanceof Error ? Reflect.get(error, name) : '';
  return typeof value === 'string' ? value : '';
}
