// A mail that a path names: one that was sent from here, or one of others that is known here; and all that is shown of it.
import type { Query } from '../db/pool.ts';
import { type Grant, wireProvider } from '../grants/grants.ts';
import { uuidTime, wireId } from '../ids.ts';
import { parseContent } from '../providers/mail-content.ts';
import type { MailContent, WantedMail } from '../providers/watch.ts';
import { findKnownMail, type KnownMail, keepPlace } from '../replies/known-mail.ts';
import { mailDetail } from '../replies/mail-detail.ts';
import { bodyCleaner } from '../send/tracked-body.ts';
import { waitingCopy } from '../send/waiting-copy.ts';
import type { MailDetail } from '../tracking/mail-facts.ts';
import { findMessage, type MessageState, type StoredMessage } from '../tracking/messages.ts';
import type { TokenKeys } from '../tracking/token.ts';
import { type Extras, type Fields, mailToWire } from './mail-wire.ts';
import { type ReadMailDeps, readMail } from './read-mail.ts';

export interface ShownMailDeps extends ReadMailDeps {
  readonly keys: TokenKeys;
}

export type NamedMail =
  | { readonly kind: 'sent'; readonly message: StoredMessage }
  | { readonly kind: 'received'; readonly mail: KnownMail };

/** By our wire id, a provider's id, or a Message-ID with or without angle brackets. What failed to be sent, or has not been sent yet, is none. */
export async function findNamed(sql: Query, { app, id: grantId }: Grant, reference: string): Promise<NamedMail | null> {
  if (reference.includes('\0')) return null;
  const isHeader = reference.includes('@') && !reference.startsWith('<');
  const name = isHeader ? `<${reference}>` : reference;
  const message = await findMessage(sql, app, grantId, name);
  if (message !== null && !NOT_SENT.has(message.state)) return { kind: 'sent', message };
  const mail = await findKnownMail(sql, app, grantId, name);
  return mail === null ? null : { kind: 'received', mail };
}

const NOT_SENT: ReadonlySet<MessageState> = new Set(['failed', 'scheduled', 'cancelled']);

function wantedOf(named: NamedMail): WantedMail {
  return named.kind === 'sent'
    ? { place: null, messageId: named.message.messageId, withBody: true }
    : { place: named.mail.place, messageId: named.mail.messageId, withBody: true };
}

/** Null where it lies nowhere. A copy that waits for its folder is not looked for in the mailbox. */
export async function readNamed(
  deps: ShownMailDeps,
  grant: Grant,
  named: NamedMail,
  gone: AbortSignal,
): Promise<MailContent | null> {
  const waiting = named.kind === 'sent' ? await fromCopy(deps, named.message) : null;
  if (waiting !== null) return waiting;
  const [content = null] = await readMail(deps, grant, [wantedOf(named)], gone);
  return content;
}

export interface ShownMail {
  readonly detail: MailDetail;
  readonly wire: object;
}

/**
 * `content`: as it was read. Where it lies nowhere in the mailbox, a mail that was sent is shown from the copy that waits for its
 * folder, else with the little that its row says; of a received one nothing is left: null.
 */
export async function showMail(
  deps: ShownMailDeps,
  grant: Grant,
  named: NamedMail,
  content: MailContent | null,
  fields: Fields,
): Promise<ShownMail | null> {
  const { detail, extras } =
    named.kind === 'sent'
      ? await sentMail(deps, grant, named.message, content)
      : { detail: content && (await receivedMail(deps, grant, named.mail, content)), extras: headersOf(content) };
  return detail === null ? null : { detail, wire: mailToWire(grant.id, detail, extras, fields) };
}

async function receivedMail(
  deps: ShownMailDeps,
  grant: Grant,
  mail: KnownMail,
  content: MailContent,
): Promise<MailDetail> {
  if (content.place !== mail.place) await keepPlace(deps.sql, mail, content.place);
  return mailDetail(content, {
    id: wireId('msg', mail.id),
    threadId: mail.threadId,
    provider: wireProvider(grant.provider),
    clean: bodyCleaner(deps, grant.app),
  });
}

async function sentMail(
  deps: ShownMailDeps,
  grant: Grant,
  message: StoredMessage,
  found: MailContent | null,
): Promise<{ readonly detail: MailDetail; readonly extras: Extras }> {
  const content = found ?? (await fromCopy(deps, message));
  const names = { id: wireId('msg', message.id), threadId: message.threadId, provider: wireProvider(grant.provider) };
  // As it was answered when the mail was sent; its copy came into the mailbox a little later.
  const date = Math.floor(sentAt(message).getTime() / 1000);
  const detail =
    content === null
      ? { ...nothingRead(grant, message.subject), ...names, date }
      : { ...mailDetail(content, { ...names, clean: bodyCleaner(deps, grant.app) }), date };
  return { detail, extras: { ...headersOf(content), message } };
}

function headersOf(content: MailContent | null): Extras {
  return content === null ? {} : { headers: content.head.fields };
}

/** Less than a message is scheduled ahead. */
const AT_ONCE_MS = 45_000;

/** When a message was handed over: as it was answered, to the second, where that was at once. */
export function sentAt({ id, createdAt }: { readonly id: string; readonly createdAt: Date }): Date {
  const made = uuidTime(id);
  return createdAt.getTime() - made > AT_ONCE_MS ? createdAt : new Date(made);
}

async function fromCopy({ sql }: ShownMailDeps, message: StoredMessage): Promise<MailContent | null> {
  const raw = await waitingCopy(sql, message.app, message.id);
  if (raw === null) return null;
  const here = { place: '', receivedAt: sentAt(message), threadKey: null };
  return { ...(await parseContent(raw)), ...here, folders: SENT, unread: false, starred: false };
}

const SENT = ['SENT'];

function nothingRead(grant: Grant, subject: string): Omit<MailDetail, 'id' | 'threadId' | 'provider' | 'date'> {
  return {
    subject,
    from: [{ name: grant.name, email: grant.email }],
    to: [],
    cc: [],
    bcc: [],
    replyTo: [],
    body: '',
    snippet: '',
    starred: false,
    unread: false,
    folders: SENT,
    attachments: [],
  };
}
