// What a delivery report says of the mail it reports on. All of it may be forged: who acts on it first finds the
// message it names among his own.
import { parseHead } from '../providers/mail-head.ts';
import { partBytes } from '../providers/mime-body.ts';
import type { MimePart } from '../providers/mime-parts.ts';
import type { MailHead } from '../providers/watch.ts';
import { addressIn, type DeliveryStatus, type RecipientStatus, readDeliveryStatus } from './delivery-status.ts';
import { type PlainReport, readPlainReport } from './plain-report.ts';
import { failedRecipients, looksReturned, reportKind } from './report-head.ts';
import { reportParts, shownText } from './report-parts.ts';
import {
  type BounceType,
  bounceType,
  isForGood,
  isTemporary,
  oneLine,
  type ServerWords,
  smtpCode,
  statusIn,
} from './server-words.ts';

export interface Bounce {
  /** False: it may still arrive, or may another time; null: nothing failed. */
  readonly permanent: boolean | null;
  readonly action: Action;
  /** `text`: in words for people alone. */
  readonly form: 'report' | 'text';
  /** Whom the verdict is about; of a report on several those of the worst. */
  readonly recipients: readonly string[];
  /** Three digits of SMTP: as they were said, else what its status comes to. */
  readonly code: string;
  /** RFC 3463; '' where none is named. */
  readonly status: string;
  /** In the words of the server that refused: one line, at most 500 characters; '' where it said nothing. */
  readonly reason: string;
  readonly type: BounceType;
  /** With angle brackets. */
  readonly originalMessageId: string | null;
  readonly original: {
    readonly to: readonly string[];
    readonly cc: readonly string[];
    readonly subject: string;
    readonly sentAt: Date | null;
  };
  /** As the report dates itself. */
  readonly bouncedAt: Date | null;
}

/** RFC 3464 section 2.3.3. */
export type Action = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded';

const MOST_BYTES = 512 * 1024;
const MOST_HEAD = 64 * 1024;
const MOST_TEXT = 64 * 1024;
const MOST_OWN = 10;
const STATUS_PARTS = new Set(['message/delivery-status', 'message/global-delivery-status']);
const ORIGINAL_PARTS = new Set([
  'message/rfc822',
  'message/global',
  'text/rfc822-headers',
  'message/rfc822-headers',
  'message/global-headers',
]);

/**
 * Takes the first 256 kB or so of a mail. Null: it is no delivery report, or none that can be read. Takes time linear
 * in its size, looks at 512 kB, never throws.
 */
export function readBounce(raw: Buffer): Bounce | null {
  const bytes = raw.subarray(0, MOST_BYTES);
  const head = parseHead(bytes.subarray(0, MOST_HEAD));
  const kind = reportKind(head);
  if (kind === 'receipt' || kind === 'complaint') return null;
  const isReturned = looksReturned(head);
  if (kind === null && !isReturned) return null;

  const parts = reportParts(bytes);
  const attached = parts.find(({ type }) => ORIGINAL_PARTS.has(type.value));
  const statuses = statusesOf(parts, isReturned);
  // A multipart/report with nothing for programs in it is believed in words only where its head says more.
  const plain = statuses !== null || isReturned || kind === 'delivery' ? plainReport(parts, head) : null;
  const returned = originalOf(attached, plain);
  const verdict = verdictOf(statuses, plain, head.subject);
  if (verdict === null) return null;
  return {
    ...verdict,
    recipients: verdict.recipients.length > 0 ? verdict.recipients : onlyRecipient(returned),
    originalMessageId: returned?.messageId ?? statuses?.originalMessageId ?? null,
    original: {
      to: returned?.to.map(({ email }) => email) ?? [],
      cc: returned?.cc.map(({ email }) => email) ?? [],
      subject: returned?.subject ?? '',
      sentAt: returned?.writtenAt ?? null,
    },
    bouncedAt: head.writtenAt,
  };
}

/** Some servers show the fields of a report as text only. */
function statusesOf(parts: readonly MimePart[], isReturned: boolean): DeliveryStatus | null {
  const part = parts.find(({ type }) => STATUS_PARTS.has(type.value));
  if (part !== undefined) return readDeliveryStatus(partBytes(part, MOST_TEXT));
  const text = parts.find(({ type }) => type.value === 'text/plain');
  const bytes = text === undefined || !isReturned ? null : partBytes(text, MOST_TEXT);
  return bytes !== null && /^final-recipient:/im.test(bytes.toString('latin1')) ? readDeliveryStatus(bytes) : null;
}

type Verdict = Omit<Bounce, 'originalMessageId' | 'original' | 'bouncedAt'>;

function verdictOf(statuses: DeliveryStatus | null, plain: PlainReport | null, subject: string): Verdict | null {
  const judged = statuses?.recipients.map((recipient) => ({ ...recipient, ...judge(recipient, plain) })) ?? [];
  const worst = [true, false, null].find((permanent) => judged.some((one) => one.permanent === permanent));
  const of = judged.filter(({ permanent }) => permanent === worst);
  const [first] = of;
  if (first === undefined) return plain === null ? null : plainVerdict(plain, subject);
  const addresses = of.flatMap(({ address }) => address ?? []);
  const words = wordsOf(first, plain);
  return {
    permanent: first.permanent,
    action: first.did,
    form: 'report',
    recipients: unique(addresses.length > 0 ? addresses : (plain?.recipients ?? [])),
    ...said(words, first.permanent),
  };
}

/** Where a report has no words of the server, those for people are taken. */
function wordsOf({ status, diagnostic }: RecipientStatus, plain: PlainReport | null): ServerWords {
  return { status, text: diagnostic === '' ? (plain?.words ?? '') : diagnostic };
}

function judge(recipient: RecipientStatus, plain: PlainReport | null): { permanent: boolean | null; did: Action } {
  const words = wordsOf(recipient, plain);
  const did = actionOf(recipient);
  if (did === 'delayed') return { permanent: false, did };
  if (did !== 'failed') return { permanent: null, did };
  const isBare = words.status === '' && words.text === '';
  return { permanent: isBare || isForGood(words), did };
}

function actionOf({ action, status }: RecipientStatus): Action {
  if (action === 'delayed' || action === 'delivered' || action === 'relayed' || action === 'expanded') return action;
  if (action === 'delay') return 'delayed';
  return status.startsWith('2') ? 'delivered' : 'failed';
}

function plainVerdict(plain: PlainReport, subject: string): Verdict | null {
  // Without anybody whom it did not reach it is no report that can be used.
  if (plain.recipients.length === 0 && plain.original === '') return null;
  const words = { status: statusIn(plain.words), text: plain.words };
  const isDelay = (plain.isDelay || /^\W{0,4}warning|delay/i.test(subject)) && !/^5/.test(smtpCode(words.text));
  const isCoded = words.status !== '' || smtpCode(words.text) !== '';
  const permanent = !isDelay && (isForGood(words) || (!isCoded && plain.isFinal && !isTemporary(words.text)));
  return {
    permanent,
    action: isDelay ? 'delayed' : 'failed',
    form: 'text',
    recipients: plain.recipients,
    ...said(words, permanent),
  };
}

function said(words: ServerWords, permanent: boolean | null): Pick<Bounce, 'code' | 'status' | 'reason' | 'type'> {
  const inWords = statusIn(words.text);
  const isVague = words.status === '' || words.status.endsWith('.0.0');
  const status = isVague && inWords !== '' ? inWords : words.status;
  return {
    code: smtpCode(words.text) || codeFor(status, permanent),
    status,
    reason: oneLine(words.text),
    type: bounceType(words),
  };
}

/** RFC 5248 names the codes that go with a status. */
function codeFor(status: string, permanent: boolean | null): string {
  if (permanent === null) return '250';
  if (/^5\.(?:2\.2|3\.4|2\.3)$/.test(status)) return '552';
  return permanent ? '550' : '450';
}

function plainReport(parts: readonly MimePart[], head: MailHead): PlainReport | null {
  const failed = failedRecipients(head)
    .slice(0, 10_000)
    .split(/[,;]/, 100)
    .map(addressIn)
    .filter((address) => address !== null);
  const own = head.to.slice(0, MOST_OWN).map(({ email }) => email.toLowerCase());
  const texts = parts.filter(({ type }) => type.value.startsWith('text/') && !ORIGINAL_PARTS.has(type.value));
  for (const part of texts.slice(0, 3)) {
    const report = readPlainReport(shownText(part, MOST_TEXT), { failed, own });
    if (report !== null) return report;
  }
  return null;
}

function originalOf(attached: MimePart | undefined, plain: PlainReport | null): MailHead | null {
  if (attached !== undefined) {
    const bytes = partBytes(attached, MOST_HEAD);
    const start = bytes.findIndex((byte) => byte !== 0x0a && byte !== 0x0d);
    return start < 0 ? null : parseHead(bytes.subarray(start));
  }
  return plain === null || plain.original === '' ? null : parseHead(Buffer.from(plain.original));
}

/** A mail to one alone can have failed for that one alone. */
function onlyRecipient(original: MailHead | null): string[] {
  const all = original === null ? [] : [...original.to, ...original.cc];
  return all.length === 1 ? all.map(({ email }) => email) : [];
}

function unique(addresses: readonly string[]): string[] {
  return [...new Map(addresses.map((address) => [address.toLowerCase(), address])).values()];
}
