// A mail that is ready to leave, and its leaving.
import { unsealCredentials } from '../grants/credentials.ts';
import { type GrantMailbox, mailboxWith } from '../grants/grant-mailbox.ts';
import type { Grant } from '../grants/grants.ts';
import type { Sender } from '../grants/senders.ts';
import { wireId } from '../ids.ts';
import { withoutAddresses } from '../log.ts';
import { sizeOf } from '../providers/mail-bytes.ts';
import type { SendOutcome } from '../providers/provider.ts';
import { snippet } from '../snippet.ts';
import type { Party, ToldMail } from '../tracking/send-facts.ts';
import { compose, type MailParts, type Person } from './compose.ts';
import { giveToProvider, type HandingDeps } from './handing-over.ts';
import type { Outgoing } from './outgoing.ts';
import { failureRefusal, unsupportedProviderRefusal } from './refusals.ts';
import { blobReader, type ComposedMail } from './streamed-mail.ts';
import { cleanBody, type TrackedBodyDeps } from './tracked-body.ts';

export interface LetterDeps extends HandingDeps, Pick<TrackedBodyDeps, 'keys'> {}

export interface Letter {
  /** UUIDv7 of the message. */
  readonly id: string;
  /** The Message-ID header. */
  readonly messageId: string;
  readonly date: Date;
  readonly from: Person;
  /** Message-IDs of its thread, oldest first; the last is the one answered. */
  readonly ancestors: readonly string[];
  /** As its author wrote it. */
  readonly mail: Outgoing;
  /** Its body as it leaves. */
  readonly body: string;
}

export interface Leaving {
  /** The application wants to be told of it, not only where nobody could be answered. */
  readonly tells: boolean;
  /** Of a scheduled mail: what is told of it besides. */
  readonly scheduled?: Pick<ToldMail, 'scheduleId' | 'sendAt'>;
  /** What becomes of a mail that certainly did not go out; true: it is not to be recorded as failed. */
  readonly putOff?: (outcome: SendOutcome) => Promise<boolean>;
}

/** The mailbox that the sender's mail leaves through. Throws an `ApiError` where there is none. */
export function sendingMailbox(deps: HandingDeps, { grant, credentials }: Sender): GrantMailbox {
  if (!Object.hasOwn(deps.providers, grant.provider)) throw unsupportedProviderRefusal(grant.provider);
  if (credentials === null) throw failureRefusal({ kind: 'unauthorised', reason: 'the grant has no credentials' });
  return mailboxWith(deps, grant, unsealCredentials(deps.vault, grant.id, credentials));
}

/** The letter's bytes as its recipients get them. */
export async function written(
  deps: Pick<LetterDeps, 'sql'>,
  app: number,
  letter: Letter,
): Promise<Buffer | ComposedMail> {
  return await compose({ ...partsOf(letter), body: letter.body }, blobReader(deps.sql, app));
}

/** Gives a reserved letter to the provider and records how that ended. Throws nothing that the provider does. */
export async function handOver(
  deps: LetterDeps,
  grant: Grant,
  mailbox: GrantMailbox,
  { letter, raw, leaving }: { readonly letter: Letter; readonly raw: Buffer | ComposedMail; readonly leaving: Leaving },
): Promise<SendOutcome> {
  const started = performance.now();
  const { id, messageId, mail } = letter;
  const envelope = { from: grant.email, to: recipients(mail) };
  const outcome = await giveToProvider(deps, grant, mailbox, {
    message: id,
    mail: { envelope, messageId, raw },
    copy: (left) => ownCopy(deps, grant.app, letter, raw, left),
    tells: leaving.tells,
    told: () => ({ ...toldOf(mail, letter.from), ...leaving.scheduled }),
    ...(leaving.putOff && { putOff: leaving.putOff }),
  });
  deps.log[outcome.kind === 'sent' ? 'info' : 'warn'](
    {
      app: grant.app,
      grant: grant.id,
      message: wireId('msg', id),
      provider: grant.provider,
      outcome: outcome.kind,
      recipients: envelope.to.length,
      bytes: sizeOf(raw),
      ms: Math.round(performance.now() - started),
      ...(outcome.kind !== 'sent' && { reason: withoutAddresses(outcome.reason) }),
    },
    outcome.kind === 'sent' ? 'message.sent' : 'message.not_sent',
  );
  return outcome;
}

/** What is told of a mail that is sent from here. */
export function toldOf(mail: Outgoing, from: Person): ToldMail {
  return {
    subject: mail.subject,
    snippet: snippet(mail.body, mail.isPlaintext),
    from: [party(from)],
    to: mail.to.map(party),
    cc: mail.cc.map(party),
    bcc: mail.bcc.map(party),
    replyTo: mail.replyTo.map(party),
    scheduleId: null,
    sendAt: null,
    useDraft: false,
  };
}

/** What everybody sees of it; the body is the author's. */
function partsOf({ mail: { bcc: _, ...mail }, messageId, date, from, ancestors }: Letter): MailParts {
  return { ...mail, messageId, date, from, ancestors };
}

/** What the sender keeps: with the recipients of blind copies, without our pixels and tracked links. */
async function ownCopy(
  deps: Pick<LetterDeps, 'sql' | 'keys'>,
  app: number,
  letter: Letter,
  sent: Buffer | ComposedMail,
  messageId: string,
): Promise<Buffer | ComposedMail> {
  const { mail } = letter;
  const body = mail.isPlaintext ? mail.body : cleanBody(deps, app, mail.body);
  if (body === letter.body && messageId === letter.messageId && mail.bcc.length === 0) return sent;
  const parts = { ...partsOf(letter), body, messageId, bcc: mail.bcc };
  return await compose(parts, blobReader(deps.sql, app));
}

function party({ name = '', email }: Person): Party {
  return { name, email };
}

/** Each once: a server may refuse or deliver a second RCPT of the same address. */
function recipients({ to, cc, bcc }: Outgoing): string[] {
  const seen = new Map<string, string>();
  for (const { email } of [...to, ...cc, ...bcc]) {
    if (!seen.has(email.toLowerCase())) seen.set(email.toLowerCase(), email);
  }
  return [...seen.values()];
}
