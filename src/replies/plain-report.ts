// Delivery reports in words: what mail systems wrote before RFC 3464, and what some write still.
import { addressIn } from './delivery-status.ts';
import { smtpCode, statusIn } from './server-words.ts';

export interface PlainReport {
  /** 100 at most. */
  readonly recipients: readonly string[];
  /** What is said of the first of them, line ends and all; '' for nothing. */
  readonly words: string;
  /** It is still being tried. */
  readonly isDelay: boolean;
  /** It says in so many words that nothing further will be tried. */
  readonly isFinal: boolean;
  /** The head of the returned mail, as far as it is quoted; '' for none. */
  readonly original: string;
}

const MOST_LINES = 1500;
const LONGEST_LINE = 1000;
const MOST_RECIPIENTS = 100;
const MOST_WORDS = 40;
const LATEST_OPENING = 150;

/** How they begin, each within one line. */
const OPENINGS = [
  'qmail-send program',
  'created automatically by (?:the )?(?:mail|e-?mail) (?:delivery|server)',
  'this is the (?:mail system|postfix program|mail delivery)',
  'automatically generated delivery (?:status|failure)',
  '(?:un|not )able to deliver',
  "could ?n[o'’]t (?:be|have been) (?:delivered|sent|reached)",
  'could not deliver',
  "can ?n[o'’]t be delivered",
  'not be (?:delivered|reached|sent)',
  "(?:was|were) ?n[o'’]t (?:delivered|successfully)",
  "did ?n[o'’]t reach",
  'has not (?:yet )?(?:been delivered|reached)',
  '(?:failed|failure|error)[^.]{0,30} (?:to deliver|deliver|sending)',
  'delivery (?:to|has|of|attempt|failed|failure|status|error)',
  'undeliver(?:able|ed)',
  'non[- ]?deliver(?:y|able)',
  '(?:following|these|this|to) (?:recipients?|address(?:es)?|e-?mail address)[^.]{0,40}(?:fail|permanent|fatal|problem|error|reject|invalid|delay)',
  'had (?:permanent|transient|fatal|delivery)',
  'permanent (?:fatal )?(?:error|failure)',
  'failed permanently',
  'address not found',
  'message (?:rejected|blocked|not delivered|returned|bounced)',
  'mail (?:rejected|returned|bounced)',
  'error occurred while trying to deliver',
  'message is delayed',
  'had delivery problems|delivery problems -',
  'failure reasons',
  'failed addresses',
  'addresses that were|incorrectly constructed',
  'rejected by a remote mail server',
  '^unknown user: ',
  'mailbox is full: <',
  'transcript of session',
  'nicht (?:zugestellt|zustellbar|ausgeliefert)',
  'unzustellbar',
  'pas (?:pu )?(?:être|été) (?:remis|distribu|livr|envoy)',
  'no (?:se ha podido|se pudo|ha podido|pudo) (?:ser )?entreg',
  'non (?:è stato|ha potuto|può essere) ',
  'n[ãa]o (?:pôde|foi|pode) (?:ser )?entreg',
  'не (?:было|был|может быть|удалось|доставлен)',
  '配信(?:できません|不能|エラー)|送信できません|届けることができません',
  '无法(?:送达|投递)|被退回|退信',
];
const OPENING = new RegExp(OPENINGS.join('|'), 'iu');

const DELAY =
  /\bdelayed\b|not yet been delivered|delivery (?:is|was) delayed|still (?:be(?:ing)? )?(?:tr(?:y|ied)|retr|attempt|queued)|will (?:be retried|be tried|continue|keep|retry|try)|warning message only|do not need to resend|no need to resend/i;
const FINAL = /permanent|gave up|giving up|given up|no further|fatal|could ?n[o'’]t be delivered|undeliverable/i;

/** What follows is not the reporter's: the returned mail, or what a program may read. */
const RETURNED =
  /^[\s>*|]*[-=_*]{2,}.*(?:copy of|original|text follows|returned|header|body of|forwarded|undelivered|unsent|text of)|^\s*(?:original message|message headers?|the (?:full |complete )?headers?|headers of|your (?:original )?message (?:follows|reads)|message (?:header|text|contents?) follows|received message|included is a copy)[^.]{0,60}[.:]?\s*$|^\s*(?:received|return-path|message-id|mime-version|dkim-signature): \S/i;

/** Null where it does not read like a report. `failed` are addresses named elsewhere, `own` the one that was written to. */
export function readPlainReport(
  text: string,
  known: { readonly failed: readonly string[]; readonly own: readonly string[] },
): PlainReport | null {
  const lines = text
    .split('\n', MOST_LINES)
    .map((line) => line.slice(0, LONGEST_LINE).replaceAll('\r', '').replaceAll('\u00a0', ' ').trimEnd());
  const found = lines.slice(0, LATEST_OPENING).findIndex((line) => OPENING.test(line));
  if (found < 0 && known.failed.length === 0) return null;
  const opening = Math.max(0, found);
  const returned = lines.findIndex((line, at) => at > opening && RETURNED.test(line));
  const report = lines.slice(opening, returned < 0 ? undefined : returned);

  const isNamed = (address: string): boolean => !isOffice(address) && !known.own.includes(address.toLowerCase());
  const begun = report.map((line) => {
    const address = beginningAddress(line);
    return address !== null && isNamed(address) ? address : null;
  });
  const at = begun.findIndex((address) => address !== null);
  const listed = begun.filter((address) => address !== null);
  const inline = listed.length > 0 ? [] : report.flatMap(addressesWithin).filter(isNamed).slice(0, 1);
  const recipients = known.failed.length > 0 ? known.failed : [...listed, ...inline];
  const whole = lines.slice(0, returned < 0 ? undefined : returned).join('\n');
  return {
    recipients: unique(recipients).slice(0, MOST_RECIPIENTS),
    words:
      at < 0 ? telling(report, known.own) : telling(saidOf(report, begun, at), []) || telling(report.slice(at + 1), []),
    isDelay: DELAY.test(whole),
    isFinal: FINAL.test(whole),
    original: returned < 0 ? '' : originalHead(lines.slice(returned)),
  };
}

/** Up to the next recipient. */
function saidOf(report: readonly string[], begun: readonly (string | null)[], at: number): string[] {
  const next = begun.findIndex((address, line) => line > at && address !== null && address !== begun[at]);
  const [first = '', ...rest] = report.slice(at, next < 0 ? undefined : next);
  return [first.replace(BEGINNING, '').replace(/^[\s>"')\]:;,.-]+/, ''), ...rest];
}

/** The first paragraph with a code in it, else the first that says anything, but for greetings of `own`. */
function telling(lines: readonly string[], own: readonly string[]): string {
  const paragraphs: string[][] = [[]];
  for (const line of lines.slice(0, MOST_WORDS)) {
    if (line.trim() === '') paragraphs.push([]);
    else paragraphs.at(-1)?.push(line.trim());
  }
  const texts = paragraphs.map((paragraph) => paragraph.join('\n')).filter((text) => /\p{L}{2}/u.test(text));
  const coded = texts.find((text) => smtpCode(text) !== '' || statusIn(text) !== '');
  const others = texts.filter((text) => !own.some((address) => text.toLowerCase().includes(address)));
  const fitting = others.find((text) => !OPENING.test(text) && !/:$/.test(text));
  return coded ?? fitting ?? texts.find((text) => !/:$/.test(text)) ?? '';
}

const BEGINNING =
  /^[\s*•"'<([-]*(?:(?:to|recipient|address|e-?mail|final-recipient: rfc822): *)?[<"]?([^\s<>"',;:()[\]]{1,128}@[^\s<>"',;:()[\]]{1,255})/i;

function beginningAddress(line: string): string | null {
  const found = BEGINNING.exec(line)?.[1];
  return found === undefined ? null : addressIn(found);
}

function addressesWithin(line: string): string[] {
  const words = line.split(/[\s<>"'(),;:[\]]+/).filter((word) => word.includes('@'));
  return words.map(addressIn).filter((address) => address !== null);
}

/** Written to for help, never the one that failed. */
function isOffice(address: string): boolean {
  return /^(?:postmaster|mailer-daemon|abuse|support|helpdesk|hostmaster|noreply|no-reply)@/i.test(address);
}

const FIELD = /^\s*(?:[>|] ?)?([a-z][a-z0-9-]{0,60}) ?: /i;

/** The first block of header fields that names its Message-ID or sender, without what it is indented by. */
function originalHead(lines: readonly string[]): string {
  const start = lines.findIndex((line) => FIELD.test(line));
  if (start < 0) return '';
  const indent = /^\s*(?:[>|] ?)?/.exec(lines[start] ?? '')?.[0] ?? '';
  const bare = lines.slice(start).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
  const end = bare.findIndex((line) => line.trim() === '');
  return bare.slice(0, end < 0 ? undefined : end).join('\n');
}

function unique(addresses: readonly string[]): string[] {
  return [...new Map(addresses.map((address) => [address.toLowerCase(), address])).values()];
}
