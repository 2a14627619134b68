import { learnAlias } from '../grants/aliases.ts';
import { unsealCredentials } from '../grants/credentials.ts';
import { mailboxWith } from '../grants/grant-mailbox.ts';
import { type Grant, requireValid } from '../grants/grants.ts';
import type { ResolveSender, Sender } from '../grants/senders.ts';
import { uuidv7, wireId } from '../ids.ts';
import { withoutAddresses } from '../log.ts';
import type { RefusedRecipient } from '../providers/provider.ts';
import { snippet } from '../snippet.ts';
import { findMessage } from '../tracking/messages.ts';
import type { Party, ToldMail } from '../tracking/send-facts.ts';
import { compose, messageIdHeader, type Person, threadOf } from './compose.ts';
import { giveToProvider, type HandingDeps } from './handing-over.ts';
import type { Outgoing, Tracking, Warning } from './outgoing.ts';
import {
  failureRefusal,
  sandboxRefusal,
  tooLargeRefusal,
  unknownParentRefusal,
  unsupportedProviderRefusal,
} from './refusals.ts';
import { cleanBody, type TrackedBodyDeps, trackable, trackedBody } from './tracked-body.ts';

export interface SendDeps extends HandingDeps, TrackedBodyDeps {
  readonly senders: ResolveSender;
  readonly findReceived: FindReceived;
  readonly now?: () => Date;
}

/** A mail of others that may be answered, by our wire id or by its Message-ID in angle brackets; null where none is known. */
export type FindReceived = (
  app: number,
  grantId: string,
  reference: string,
) => Promise<{
  /** Wire id. */
  readonly threadId: string;
  /** Message-IDs that are known to stand above it, oldest first. */
  readonly ancestors: readonly string[];
  readonly messageId: string | null;
} | null>;

export interface Sent {
  /** UUIDv7; the wire id is `msg_…`. */
  readonly id: string;
  readonly threadId: string;
  readonly date: Date;
  readonly from: Person;
  /** What is really tracked: less than was asked for where a warning says so. */
  readonly tracking: Tracking;
  /** The mail as it was handed over. */
  readonly raw: Buffer;
  readonly warnings: readonly Warning[];
}

/** Sends one mail (journey 1). Whatever keeps it from being sent is thrown as an `ApiError`. */
export async function send(deps: SendDeps, sender: Sender, mail: Outgoing): Promise<Sent> {
  const { grant, credentials } = sender;
  requireValid(grant);
  if (sender.environment === 'sandbox' && isTracked(mail.tracking)) throw sandboxRefusal();
  checkRecord(mail);
  const thread = await threadOfAnswer(deps, grant, mail.replyToMessageId);
  if (!Object.hasOwn(deps.providers, grant.provider)) throw unsupportedProviderRefusal(grant.provider);
  if (credentials === null) throw failureRefusal({ kind: 'unauthorised', reason: 'the grant has no credentials' });
  const mailbox = mailboxWith(deps, grant, unsealCredentials(deps.vault, grant.id, credentials));

  const date = deps.now?.() ?? new Date();
  const id = uuidv7(date.getTime());
  const { tracking, warnings } = trackable(deps, grant, mail);
  const body = trackedBody(deps, grant, id, mail, tracking, sender.settings);
  const from = mail.from ?? { email: grant.email, ...(grant.name !== '' && { name: grant.name }) };
  const messageId = messageIdHeader(id, from.email);
  const threadId = thread.id ?? wireId('thr', id);

  const message = { ...tracking, app: grant.app, id, grantId: grant.id, messageId, threadId };
  const record = { ...message, ancestors: thread.ancestors, subject: mail.subject, metadata: mail.metadata };
  const parts = { ...withoutBcc(mail), from, messageId, date, ancestors: thread.ancestors };
  const raw = await compose({ ...parts, body: body.body });
  if ((await deps.ledger.reserve({ message: record, links: body.links })) === 'unstorable') {
    throw tooLargeRefusal(mail.tracking, 'the message', 'has a label, metadata or a link that cannot be stored.');
  }

  const started = performance.now();
  const envelope = { from: grant.email, to: recipients(mail) };
  const outcome = await giveToProvider(deps, grant, mailbox, {
    message: id,
    mail: { envelope, messageId, raw },
    copy: (left) => ownCopy(deps, grant, { ...parts, messageId: left, bcc: mail.bcc }, { ...body, messageId, raw }),
    tells: sender.settings.notifySends,
    told: () => toldMail(mail, from),
  });
  deps.log[outcome.kind === 'sent' ? 'info' : 'warn'](
    {
      app: grant.app,
      grant: grant.id,
      message: wireId('msg', id),
      provider: grant.provider,
      outcome: outcome.kind,
      recipients: envelope.to.length,
      bytes: raw.length,
      links: body.links.length,
      ms: Math.round(performance.now() - started),
      ...(outcome.kind !== 'sent' && { reason: withoutAddresses(outcome.reason) }),
    },
    outcome.kind === 'sent' ? 'message.sent' : 'message.not_sent',
  );
  if (outcome.kind !== 'sent') throw failureRefusal(outcome, wireId('msg', id));
  learn(deps, grant, from.email);
  return { id, threadId, date, from, tracking, raw, warnings: [...warnings, ...refusedWarnings(outcome.refused)] };
}

/** Beside the answer, which it neither delays nor changes. */
function learn({ sql, log, running }: SendDeps, grant: Grant, from: string): void {
  const learning = learnAlias(sql, grant, from)
    .catch((error: unknown) => log.warn({ app: grant.app, grant: grant.id, err: error }, 'grant.alias_not_learnt'))
    .finally(() => running?.delete(learning));
  running?.add(learning);
}

const LABEL = 2048;
const METADATA = { pairs: 50, key: 40, value: 500 };

/** D6, in characters as PostgreSQL counts them. */
function checkRecord({ tracking, metadata }: Outgoing): void {
  if ([...tracking.label].length > LABEL) {
    throw tooLargeRefusal(tracking, 'tracking_options.label', `must have at most ${LABEL} characters.`);
  }
  const pairs = Object.entries(metadata);
  if (pairs.length > METADATA.pairs) {
    throw tooLargeRefusal(tracking, 'metadata', `must have at most ${METADATA.pairs} pairs.`);
  }
  for (const [key, value] of pairs) {
    if ([...key].length > METADATA.key) {
      throw tooLargeRefusal(tracking, 'metadata', `must have keys of at most ${METADATA.key} characters.`);
    }
    if ([...value].length > METADATA.value) {
      throw tooLargeRefusal(tracking, `metadata.${key}`, `must have at most ${METADATA.value} characters.`);
    }
  }
}

const MESSAGE_ID = /^<[!-;=?-~]+@[!-;=?-~]+>$/;
const LONGEST_MESSAGE_ID = 998; // a header line, RFC 5322 section 2.1.1

async function threadOfAnswer(
  deps: SendDeps,
  grant: Grant,
  reference: string,
): Promise<{ readonly id: string | null; readonly ancestors: string[] }> {
  if (reference === '') return { id: null, ancestors: [] };
  const bracketed = reference.startsWith('<') ? reference : `<${reference}>`;
  const header = bracketed.length <= LONGEST_MESSAGE_ID && MESSAGE_ID.test(bracketed) ? bracketed : null;
  const parent = reference.includes('\0')
    ? null
    : await findMessage(deps.sql, grant.app, grant.id, header ?? reference);
  if (parent) return { id: parent.threadId, ancestors: threadOf(parent.ancestors, parent.messageId) };
  const received = reference.includes('\0') ? null : await deps.findReceived(grant.app, grant.id, header ?? reference);
  if (received) {
    const { threadId: id, ancestors, messageId } = received;
    return { id, ancestors: messageId === null ? [...ancestors] : threadOf(ancestors, messageId) };
  }
  if (header === null) throw unknownParentRefusal(reference);
  return { id: null, ancestors: [header] };
}

function withoutBcc({ bcc: _, ...mail }: Outgoing): Omit<Outgoing, 'bcc'> {
  return mail;
}

/** What the sender keeps: with the recipients of blind copies, without our pixels and tracked links. */
async function ownCopy(
  deps: SendDeps,
  grant: Grant,
  parts: Parameters<typeof compose>[0],
  sent: { readonly body: string; readonly messageId: string; readonly raw: Buffer },
): Promise<Buffer> {
  const body = parts.isPlaintext ? parts.body : cleanBody(deps, grant.app, parts.body);
  const same = body === sent.body && parts.messageId === sent.messageId && parts.bcc?.length === 0;
  return same ? sent.raw : await compose({ ...parts, body });
}

function toldMail(mail: Outgoing, from: Person): ToldMail {
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

function isTracked({ opens, links, threadReplies }: Tracking): boolean {
  return opens || links || threadReplies;
}

function refusedWarnings(refused: readonly RefusedRecipient[]): Warning[] {
  return refused.map(({ address, reason }) => ({
    type: 'recipient_refused',
    message: `${address} did not get the message: ${reason}`,
  }));
}
