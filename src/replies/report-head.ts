// What a mail's head alone says of it being a report of some mail system.
import type { MailHead } from '../providers/watch.ts';

/** RFC 3464, RFC 8098 and RFC 5965; `unnamed` does not say of what it is a report. */
export type ReportKind = 'delivery' | 'receipt' | 'complaint' | 'unnamed';

const KINDS: Readonly<Record<string, ReportKind>> = {
  'delivery-status': 'delivery',
  'global-delivery-status': 'delivery',
  'disposition-notification': 'receipt',
  'global-disposition-notification': 'receipt',
  'feedback-report': 'complaint',
};

const DAEMONS = new Set([
  'mailer-daemon',
  'mailer_daemon',
  'mailerdaemon',
  'mail-daemon',
  'maildaemon',
  'mdaemon',
  'double-bounce',
]);
/** Exchange writes its reports from an address of its own in every organisation. */
const EXCHANGE = /^microsoftexchange[0-9a-f]{32}$/;
const SYSTEM_NAME =
  /^(?:internet )?mail (?:delivery|administrator|system)(?: (?:sub)?system| service)?$|^(?:system administrator|mailer[- ]daemon|postmaster|mail ?master)$/;

/** At the beginning: who answers or forwards a report has Re: or Fwd: there. */
const BOUNCE_SUBJECTS = [
  'undeliver(?:able|ed)\\b',
  'undelivered mail',
  'non[- ]?deliver(?:y|able)',
  '(?:mail |message |e-?mail )?deliver(?:y|ies) (?:status notification|status|failure|failed|error|problem|delayed|report|has failed)',
  '(?:mail|message|e-?mail)(?: system)? (?:not delivered|undeliverable|delivery (?:failed|failure|error|problem|delayed)|status|delayed|returned|was not delivered|could not be delivered)',
  'failure notice',
  'failure delivery',
  'failed (?:mail|message|delivery)',
  'returned (?:mail|message|to sender)',
  'returning (?:mail|message)',
  'warning: (?:message|could not send|e-?mail)',
  'delayed (?:mail|delivery|message)',
  'delivery (?:failure|failed|delayed|notification)',
  'permanent delivery failure',
  '(?:your )?message (?:wasn.t|was not|could not be) delivered',
  'mail could not be delivered',
  'could not send message',
  'bounced mail',
  'nondeliverable mail',
  'unzustellbar',
  'nicht zustellbar',
  'non remis',
  'non[- ]distribu',
  '[ée]chec de (?:la )?(?:remise|distribution|livraison)',
  'no se puede entregar',
  'no entregad[oa]',
  'non recapitabile',
  'mancata consegna',
  'n[ãa]o (?:entregue|é possível entregar)',
  'onbestelbaar',
  'olevererbart',
  'kan ikke leveres',
  'niedostarczalne',
  'недоставленн',
  'не удается доставить',
  '配信不能',
  '配信不可',
  '未配信',
  '无法送达',
  '未送達',
  '退信',
  '系统退信',
];
const BOUNCE_SUBJECT = new RegExp(`^[\\s"'*\\[({<【]*(?:${BOUNCE_SUBJECTS.join('|')})`, 'iu');

/** Null: by its head it is no report. */
export function reportKind(head: MailHead): ReportKind | null {
  const type = fieldOf(head, 'content-type').slice(0, 2000).toLowerCase();
  const media = /^\s*([a-z]+)\/([a-z0-9.+-]+)/.exec(type);
  if (media?.[1] === 'message') return KINDS[media[2] ?? ''] ?? null;
  if (media?.[1] !== 'multipart' || media[2] !== 'report') return null;
  const named = /;\s*report-type\s*=\s*"?([a-z0-9-]+)/.exec(type)?.[1];
  return KINDS[named ?? ''] ?? 'unnamed';
}

/** `surely`: nobody but a mail system writes under this name; `perhaps`: people do too. */
export function isFromMailSystem(head: MailHead): 'surely' | 'perhaps' | null {
  const { from } = head;
  const locals = from.map(({ email }) => email.toLowerCase().split('@', 1)[0] ?? '');
  if (locals.some((local) => DAEMONS.has(local) || EXCHANGE.test(local))) return 'surely';
  const perhaps = from.some(({ name }) => SYSTEM_NAME.test(name.toLowerCase())) || locals.includes('postmaster');
  return perhaps || (from.length === 0 && /^<\s*>/.test(fieldOf(head, 'from'))) ? 'perhaps' : null;
}

/** No answer can go to its sender (RFC 5321 section 4.5.5), as with every report. */
export function hasNullSender(head: MailHead): boolean {
  return /^<\s*>|^<#@\[\]>/.test(fieldOf(head, 'return-path'));
}

export function hasBounceSubject({ subject }: MailHead): boolean {
  return BOUNCE_SUBJECT.test(subject);
}

/** Exim and Gmail name there whom they could not reach. */
export function failedRecipients(head: MailHead): string {
  return fieldsOf(head, 'x-failed-recipients').join(',');
}

/** Its head says with some weight that it is a delivery report, whatever its form. */
export function looksReturned(head: MailHead): boolean {
  const from = isFromMailSystem(head);
  if (from === 'surely' || failedRecipients(head) !== '') return true;
  const automatic = hasNullSender(head) || autoSubmitted(head) !== null;
  return from === 'perhaps' ? automatic || hasBounceSubject(head) : automatic && hasBounceSubject(head);
}

/** The word of RFC 3834, in lower case; null where a person wrote the mail as far as this field says. */
export function autoSubmitted(head: MailHead): string | null {
  const word = /^[^\s;(]*/.exec(fieldOf(head, 'auto-submitted').toLowerCase())?.[0] ?? '';
  return word === '' || word === 'no' ? null : word;
}

/** '' where it has none; of several the first. */
export function fieldOf(head: MailHead, name: string): string {
  return head.fields.find((field) => field[0] === name)?.[1].trim() ?? '';
}

export function fieldsOf(head: MailHead, name: string): string[] {
  return head.fields.filter((field) => field[0] === name).map((field) => field[1].trim());
}
