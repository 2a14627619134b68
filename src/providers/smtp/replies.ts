// What a reply of an SMTP server means for the mail. The table of real texts stands in replies.test.ts.
import { oneLine, shortened } from '../wording.ts';

/** What was asked when the reply came: the connection itself, the login, MAIL FROM, RCPT TO, DATA or the mail. */
export type Stage = 'greeting' | 'auth' | 'from' | 'recipient' | 'data';

export interface Reply {
  readonly code: number;
  /** RFC 3463, such as '5.7.1'; '' where the server gives none. */
  readonly enhanced: string;
  /** All lines as one, without the codes. */
  readonly text: string;
}

/** The kinds of `SendOutcome` that a reply can lead to. `rejected` at `recipient` concerns that recipient alone. */
export type Verdict = 'unauthorised' | 'rejected' | 'failed' | 'throttled' | 'deferred';

const LONGEST_TEXT = 2000;

/** Null: no reply that RFC 5321 knows. */
export function readReply(response: string): Reply | null {
  const lines = response.slice(0, LONGEST_TEXT).split('\n');
  const first = /^([2-5]\d\d)(?:[ -]|$)/.exec(lines[0] ?? '');
  if (first === null) return null;
  const enhanced = /^\d{3}[ -]([245]\.\d{1,3}\.\d{1,3})(?!\S)/.exec(lines[0] ?? '')?.[1] ?? '';
  const text = lines.map((line) => line.replace(/^\d{3}(?:[ -]|$)(?:[245]\.\d{1,3}\.\d{1,3}(?!\S))?\s*/, '')).join(' ');
  return { code: Number(first[1]), enhanced, text: oneLine(text) };
}

/** For people: one line, of printing characters, at most 300 of them. */
export function shownReply({ code, enhanced, text }: Reply): string {
  return shortened([String(code), enhanced, text].filter((part) => part !== '').join(' '));
}

/** Only for replies of the classes 4 and 5; every other one is a server that lost its way: `failed`. */
export function judge(stage: Stage, reply: Reply): Verdict {
  if (reply.code < 400) return 'failed';
  if (stage === 'auth') return judgeLogin(reply);
  if (reply.code < 500) return isTooMuch(reply) ? 'throttled' : 'deferred';
  if (isTooLarge(reply)) return 'rejected';
  if (isSendingLimit(reply)) return 'throttled';
  if (stage === 'greeting' || stage === 'from') return 'failed';
  return isSendersFault(reply) || isOutOfStep(stage, reply) ? 'failed' : 'rejected';
}

/** `unauthorised` ends the grant, so it takes a refusal that is permanent and of the login itself. */
function judgeLogin(reply: Reply): Verdict {
  const { code, text } = reply;
  if (isTooMuch(reply)) return 'throttled';
  if (code < 500 || PASSING.test(text)) return 'deferred';
  if (code === 534 || code === 535) return 'unauthorised'; // RFC 4954 section 6
  if (code <= 504 || code === 530 || code === 538) return 'failed';
  return ABOUT_LOGIN.test(text) ? 'unauthorised' : 'failed';
}

// Some servers say 535 for trouble of their own: Cyrus SASL "generic failure" when its daemon is away, 163.com when busy.
const PASSING =
  /temporar|try (?:\w+ )?later|try again (?:in|after)|(?:system|server) (?:is )?busy|generic failure|connection lost|internal (?:server )?error/i;
const ABOUT_LOGIN = /auth(?!ority)|credential|password|log ?in|\buser\b|account/i;

function isTooMuch({ enhanced, text }: Reply): boolean {
  if (enhanced.endsWith('.2.2') || FULL.test(text)) return false; // the recipient's mailbox
  return TOO_MUCH.test(text);
}

const FULL = /mailbox (?:is )?full|over ?quota|storage|insufficient|disk/i;
const TOO_MUCH =
  /too (?:many|much|fast|frequent|quick)|\brates?\b|rate.?limit|throttl|(?:limit|quota|threshold|maximum)[^.]{0,40}(?:exceed|reach)|(?:exceed|reach)[^.]{0,60}(?:limit|quota|threshold|maximum)|unexpected volume|unusual (?:sending|activity)|slow down/i;

function isTooLarge({ enhanced, text }: Reply): boolean {
  return enhanced === '5.3.4' || TOO_LARGE.test(text);
}

const TOO_LARGE =
  /(?:size|length)[^.]{0,40}(?:limit|exceed|maximum|allowed)|(?:exceed|maximum|limit)[^.]{0,40}\bsize|too (?:large|big|long)/i;

/** Narrower than for class 4: "too many hops" and "too many recipients" are said of the mail. */
function isSendingLimit({ enhanced, text }: Reply): boolean {
  return LIMIT_CODES.has(enhanced) || SENDING_LIMIT.test(text);
}

const LIMIT_CODES = new Set(['5.4.5', '5.1.90', '5.7.232', '5.7.233', '5.7.508']); // Gmail; Exchange Online
const SENDING_LIMIT =
  /(?:daily|hourly|sending|outgoing|outbound|submission|\brate|messages?|recipients?)[\w\s']{0,30}(?:limit|quota|threshold)[\w\s]{0,20}(?:exceed|reach)|(?:exceed|reach)\w*[\w\s']{0,40}(?:daily|hourly|sending|outgoing|rate|threshold|e?mails per)|(?:max|maximum) e?mails per|quotaexceeded|too many (?:messages|e?-?mails|connections)|rate.?limit|throttl|unusual sending activity|send limit/i;

/** Who may not send at all, or not under this address: no other recipient would help. */
function isSendersFault({ enhanced, text }: Reply): boolean {
  return SENDER_CODES.has(enhanced) || SENDERS_FAULT.test(text);
}

const SENDER_CODES = new Set(['5.1.7', '5.1.8', '5.7.60', '5.2.252', '5.7.57']);
const SENDERS_FAULT =
  /send ?as|sendas|sender address|sender is not allowed|not owned by|not (?:allowed|authori[sz]ed|permitted) to send|relaying disallowed as|from:? ?(?:header )?address (?:is )?not|bad outbound sender|not local sender|not authenticated|authentication required/i;

function isOutOfStep(stage: Stage, { code }: Reply): boolean {
  if (code === 530 || code === 538 || code === 503) return true;
  return stage === 'data' && code <= 504;
}

/** When the server says so, in seconds; a day at most. */
export function retryAfter(text: string): number | undefined {
  const found = /\b(?:in|after|for)\s(?:about\s)?(\d{1,5})\s?(s(?:ec(?:ond)?s?)?|min(?:ute)?s?|h(?:our)?s?)\b/i.exec(
    text,
  );
  if (found === null) return undefined;
  const unit = (found[2] ?? '').toLowerCase();
  const seconds = Number(found[1]) * (unit.startsWith('s') ? 1 : unit.startsWith('m') ? 60 : 3600);
  return seconds > 0 ? Math.min(seconds, 86_400) : undefined;
}
