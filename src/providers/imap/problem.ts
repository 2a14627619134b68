import { certificateProblem } from '../mail-server.ts';
import type { CheckProblem } from '../provider.ts';
import { shortened } from '../wording.ts';

/** Why an IMAP server cannot be used now. */
export type ImapProblem = Pick<CheckProblem, 'kind' | 'reason'>;

/** What imapflow says about a failed call; '' for what it does not say. */
export interface ImapFailure {
  /** How the server ended the command: '' where it never answered. */
  readonly status: '' | 'NO' | 'BAD';
  /** The response code, as OVERQUOTA (RFC 5530). */
  readonly code: string;
  /** The server's own words, one line. */
  readonly text: string;
  readonly atLogin: boolean;
  readonly missing: boolean;
}

const LONGEST_TEXT = 200;
const LONGEST_READ = 4000;

export function readFailure(error: unknown): ImapFailure {
  const status = property(error, 'responseStatus');
  return {
    status: status === 'NO' || status === 'BAD' ? status : '',
    code: property(error, 'serverResponseCode').toUpperCase(),
    text: cut(wordsOf(error)),
    atLogin: error instanceof Error && Reflect.get(error, 'authenticationFailed') === true,
    missing: error instanceof Error && Reflect.get(error, 'mailboxMissing') === true,
  };
}

function wordsOf(error: unknown): string {
  const words = property(error, 'responseText') || property(error, 'reason') || property(error, 'response');
  return words.slice(0, LONGEST_READ);
}

function cut(words: string): string {
  return shortened(words, LONGEST_TEXT).replace(/[.\s]+$/, '');
}

// Said at login by servers that would let the same user in a little later (RFC 5530 section 3, Gmail, Exchange, Yahoo).
const LATER_CODES = new Set(['UNAVAILABLE', 'INUSE', 'LIMIT', 'SERVERBUG', 'OVERQUOTA', 'CONTACTADMIN']);
const LATER_TEXTS =
  /too many|try again|temporar|unavailable|throttl|rate limit|exceeded .*(limit|quota)|internal (server )?error|busy/i;

/** Whether the server's answer may be another one later, unchanged credentials and mail provided. */
export function mayPass({ code, text }: ImapFailure): boolean {
  return LATER_CODES.has(code) || LATER_TEXTS.test(text);
}

// TLS was spoken to a port that does not: OpenSSL's names for what came back instead.
const NOT_TLS = /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION/;

/** QQ names every cause at once; what it says of a password has to be heard. */
const WRONG_SECRET = /invalid credentials|password (is )?(incorrect|wrong|invalid)/i;

/** A command that is not understood (RFC 9051 section 7.1.3) says nothing of the credentials in it, but where it does. */
const OF_CREDENTIALS = /authenticat|authoriz|expired|credential|password|log ?(in|on)|user ?name/i;

/** Why a session could not be opened, or broke; `clean` takes out of the server's words what must not be told on. */
export function problemOf(error: unknown, host: string, clean = (words: string): string => words): ImapProblem {
  const failure = readFailure(error); // judged by what was really said
  const told = cut(clean(wordsOf(error)));
  const said = told === '' ? '' : `: ${told}`;
  const message = error instanceof Error ? error.message : '';
  const code = property(error, 'code');
  const certificate = certificateProblem(error);
  if (certificate !== null) return { kind: 'certificate', reason: `${host}: ${certificate}` };
  if (failure.atLogin && failure.status !== '') {
    if (mayPass(failure) && !WRONG_SECRET.test(failure.text))
      return { kind: 'unreachable', reason: `${host} lets nobody in for now${said}` };
    if (failure.status === 'BAD' && !OF_CREDENTIALS.test(`${failure.code} ${failure.text}`))
      return { kind: 'unusable', reason: `${host} did not understand the login${said}` };
    if (failure.code === 'PRIVACYREQUIRED')
      return { kind: 'unusable', reason: `${host} wants another kind of connection${said}` };
    return { kind: 'unauthorised', reason: `${host} refused the login${said}` };
  }
  if (failure.status !== '') return { kind: 'unusable', reason: `${host} refused a command${said}` };
  if (/Login is disabled|Unsupported authentication|No matching authentication|^Authentication failed$/.test(message)) {
    return { kind: 'unusable', reason: `${host} offers no way to log in that fits these credentials${said}` };
  }
  if (/does not support STARTTLS/.test(message)) return { kind: 'unusable', reason: `${host} offers no STARTTLS` };
  if (code === 'GREETING_TIMEOUT') {
    return { kind: 'unreachable', reason: `${host} sent no greeting; the port may expect TLS from the first byte on` };
  }
  if (NOT_TLS.test(code)) return { kind: 'unusable', reason: `${host} does not speak TLS on this port` };
  if (code === 'NoConnection') return { kind: 'unreachable', reason: `${host} ended the connection${said}` };
  if (code === '' && said === '') return { kind: 'unreachable', reason: `${host} did not answer as it should` };
  return { kind: 'unreachable', reason: `${host} could not be reached${code === '' ? '' : ` (${code})`}${said}` };
}

function property(error: unknown, name: string): string {
  const value: unknown = error instanceof Error ? Reflect.get(error, name) : undefined;
  return typeof value === 'string' ? value : '';
}
