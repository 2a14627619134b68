// What servers say when they refuse a mail: their codes and what these mean.
import { decodeWords } from '../encoded-words.ts';

export type BounceType = 'mailbox_unavailable' | 'domain_not_found';

export interface ServerWords {
  /** RFC 3463, '' for none. */
  readonly status: string;
  readonly text: string;
}

const LONGEST_REASON = 500;
/** Looked at for codes. */
const LONGEST_TEXT = 4000;

/** The three digits with which a server answered (RFC 5321 section 4.2); '' for none. */
export function smtpCode(text: string): string {
  const words = text.slice(0, LONGEST_TEXT);
  for (const pattern of CODES) {
    const code = pattern.exec(words)?.[1];
    if (code !== undefined) return code;
  }
  return '';
}

const CODES = [
  /^\W{0,5}([45][0-5]\d)(?=[\s:-]|$)/,
  /\b(?:said|says|was|error|response|returned|reply|replied|code|state|status|smtp;?|<<<|<)\W{0,4}(?:\d{3} )?([45][0-5]\d)\b(?![.\d])/i,
  /(?<![\d.])([45][0-5]\d)[ -]#?[45]\.[0-7]\.\d{1,3}(?![\d.])/,
  /(?:^\s*|[:>] ?)([45][0-5]\d)[ -][^\d\s]/m,
];

/** The status within a server's words; '' for none. Addresses of the network and versions look much the same. */
export function statusIn(text: string): string {
  return STATUS.exec(text.slice(0, LONGEST_TEXT))?.[1] ?? '';
}

const STATUS =
  /(?:^|[#(;]|[45]\d\d[ :-]{1,2}|\b(?:dsn|status|stat|code|error|said)[=: ]{1,3})\s?#?([45]\.[0-7]\.\d{1,3})(?![\d.])/i;

/** Is the failure for good? The reporting server gave up, which alone does not say so. */
export function isForGood({ status, text }: ServerWords): boolean {
  const said = statusIn(text);
  const code = smtpCode(text);
  const isVague = status === '' || status.endsWith('.0.0');
  if (said.startsWith('4') && (isVague || status.startsWith('4'))) return false;
  if (code.startsWith('5')) return true;
  if (status.startsWith('5') && !(isVague && code.startsWith('4'))) return true;
  if (said.startsWith('5') || namesNoDomain(text)) return true;
  if (status.startsWith('4') || code.startsWith('4')) return false;
  return PERMANENT.test(text.slice(0, LONGEST_TEXT)) && !isTemporary(text);
}

/** Words of servers that gave up after trying, or could not take a mail just then. */
export function isTemporary(text: string): boolean {
  return TEMPORARY.test(text.slice(0, LONGEST_TEXT));
}

const TEMPORARY =
  /retry time|tim(?:e|ed) ?out|try(?:ing)? (?:again|later)|temporar|mailbox (?:is )?full|folder is full|quota|local limit|not accept our requests to connect|(?:not|un) ?reachable|connection refused|multiple retries|retr(?:y|ies) (?:limit|expired|exceeded)|been failing for a long time|\bdeferred\b|gr[ae]ylist|message expired|too many connections/i;

const PERMANENT =
  /\b(?:user|recipient|mailbox|account|address|alias|member|person|name)\b(?:[^.\n]|\.(?!\s)){0,80}?\b(?:unknown|not (?:found|exist|valid|listed|recognized|known|available|active|a valid)|does ?n[o']t exist|does not have|disabled|invalid|inactive|suspended|unavailable|rejected|couldn't be found|is not)\b|\b(?:unknown|no such|invalid|bad|unrouteable|unroutable|nonexistent|non-existent|undeliverable) (?:user|recipient|mailbox|account|address|local|person|domain|host)|\bno mailbox here\b|\bno(?: such)? (?:user|account|mailbox)\b|doesn't have an? \S{1,40} account|permanent|не существует|unbekannt/i;

export function bounceType({ status, text }: ServerWords): BounceType {
  const said = status.endsWith('.0.0') || status === '' ? statusIn(text) || status : status;
  if (OF_SENDER.test(said) || /sender address|helo|ehlo|reverse dns|mail from/i.test(text))
    return 'mailbox_unavailable';
  return NO_DOMAIN.has(said.slice(2)) || namesNoDomain(text) ? 'domain_not_found' : 'mailbox_unavailable';
}

/** Bad destination system, unable to route; what Microsoft says for a domain that is not in the DNS. */
const NO_DOMAIN = new Set(['1.2', '4.4', '4.310']);
/** It is the sender's domain that was not found, or a matter of policy. */
const OF_SENDER = /^[45]\.(?:1\.[78]|7\.\d+)$/;

function namesNoDomain(text: string): boolean {
  return DOMAIN_WORDS.test(text.slice(0, LONGEST_TEXT));
}

const DOMAIN_WORDS =
  /\bnxdomain\b|host or domain name not found|domain (?:name )?(?:was )?not found|domain \S{0,255} ?(?:does ?n[o']t exist|couldn.t be found|could not be found|not found)|(?:no such|unknown|unresolvable|invalid|non-?existent|bad|unrouteable) (?:mail )?(?:domain|host)\b(?! ?name)|couldn.t find any host|host (?:name )?(?:unknown|is unknown|not found)(?!, try again)|name or service not known|null ?mx\b|does ?n[o']t (?:accept|receive) mail|mx records point to non-existent hosts|could not be found in (?:the )?(?:domain name service|dns)|no mx (?:record|host)|name server: host not found/i;

/** On one line, at most 500 characters, without the code that begins each line of a longer answer. */
export function oneLine(text: string): string {
  const bounded = text.slice(0, LONGEST_TEXT);
  const words = bounded.includes('=?') ? decodeWords(bounded) : bounded;
  const line = words.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  const [begin, code = '', status] = /^([45]\d\d)-(?:(#?[45]\.\d{1,3}\.\d{1,3})[ :])?/.exec(line) ?? [];
  const whole = begin === undefined ? line : `${code} ${line.slice(4)}`;
  const marks = status === undefined ? [`${code}-`] : [`${code}-${status} `, `${code} ${status} `, `${code}-`];
  const once = begin === undefined ? whole : marks.reduce((left, mark) => left.replaceAll(` ${mark}`, ' '), whole);
  return once.replace(/ {2,}/g, ' ').slice(0, LONGEST_REASON).trim().toWellFormed();
}
