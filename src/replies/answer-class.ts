// Of what kind an answer to a tracked message is (contract D16), and why: in stable words, none of them from strangers.
import type { FoundMail, MailHead } from '../providers/watch.ts';
import { autoReplyReasons } from './auto-reply.ts';
import type { Bounce } from './bounce.ts';
import { isOwn, type OwnAddresses } from './own-address.ts';
import {
  fieldOf,
  hasBounceSubject,
  hasNullSender,
  isFromMailSystem,
  looksReturned,
  reportKind,
} from './report-head.ts';

export const ANSWER_CLASSES = ['reply', 'self', 'auto_reply', 'bounce', 'other'] as const;
export type AnswerClass = (typeof ANSWER_CLASSES)[number];

/** The reason of what lies among the mail that the owner sent. */
export const IN_SENT = 'in_sent_folder';

export interface Judgement {
  readonly class: AnswerClass;
  readonly reasons: readonly string[];
}

/**
 * Of what applies the first wins: a delivery report, whoever it says it is from; the owner, also where his own program
 * answered for him (`auto_submitted` is among the reasons then); another report; an automatic reply; else a person.
 * `bounce` is what `readBounce` made of the mail; null also where it was not opened.
 */
export function classify(mail: FoundMail, own: OwnAddresses, bounce: Bounce | null): Judgement {
  const { head, isSent } = mail;
  if (bounce !== null && !isSent) return judgedBounce(bounce);
  const automatic = autoReplyReasons(head);
  const isMine = head.from.some(({ email }) => isOwn(own, email));
  if (isSent || isMine) {
    const why = [...(isMine ? ['own_address'] : []), ...(isSent ? [IN_SENT] : [])];
    return { class: 'self', reasons: [...why, ...automatic] };
  }
  return judgedReport(head) ?? { class: automatic.length > 0 ? 'auto_reply' : 'reply', reasons: automatic };
}

/** Its head makes it worth being opened for `readBounce`. */
export function isBounceSuspect({ head, isSent }: FoundMail): boolean {
  if (isSent) return false;
  const kind = reportKind(head);
  if (kind !== null) return kind === 'delivery' || kind === 'unnamed';
  return looksReturned(head) || hasBounceSubject(head) || hasNullSender(head) || isFromMailSystem(head) !== null;
}

function judgedBounce({ action, form, permanent }: Bounce): Judgement {
  const reasons = [
    `dsn_${action}`,
    ...(action === 'failed' && permanent === false ? ['transient_failure'] : []),
    ...(form === 'text' ? ['plain_report'] : []),
  ];
  return { class: permanent === null ? 'other' : 'bounce', reasons };
}

/** Reports that say nothing of a failure, and delivery reports that could not be read. */
function judgedReport(head: MailHead): Judgement | null {
  const kind = reportKind(head);
  if (kind === 'receipt') return { class: 'other', reasons: ['read_receipt'] };
  if (kind === 'complaint') return { class: 'other', reasons: ['feedback_report'] };
  if (kind === 'delivery') return { class: 'bounce', reasons: ['unread_report'] };
  if (looksReturned(head) && hasBounceSubject(head)) return { class: 'bounce', reasons: ['unread_report'] };
  if (kind === 'unnamed' || isFromMailSystem(head) === 'surely') return { class: 'other', reasons: ['mail_system'] };
  return isCalendarAnswer(head) ? { class: 'other', reasons: ['calendar_answer'] } : null;
}

const ANSWERED_INVITATION =
  /^(?:accepted|declined|tentative(?:ly accepted)?|zugesagt|abgelehnt|mit vorbehalt|accepté|refusé|provisoire|aceptad[oa]|rechazad[oa]|provisional|accettat[oa]|rifiutat[oa]|provvisori[oa]|geaccepteerd|geweigerd|voorlopig|aceit[oe]|recusad[oa]) ?:/iu;

/** RFC 5546. Where the calendar lies within a mail of several parts, only Exchange and Google say so in the head. */
function isCalendarAnswer(head: MailHead): boolean {
  const type = fieldOf(head, 'content-type').slice(0, 2000).toLowerCase();
  if (/^\s*text\/calendar\b/.test(type) && /;\s*method\s*=\s*"?(?:reply|counter|declinecounter)\b/.test(type))
    return true;
  const isCalendar =
    fieldOf(head, 'content-class').toLowerCase() === 'urn:content-classes:calendarmessage' ||
    head.sender.some(({ email }) => email.toLowerCase() === 'calendar-notification@google.com');
  return isCalendar && ANSWERED_INVITATION.test(head.subject.normalize('NFC'));
}
