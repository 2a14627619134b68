import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import type { Attachment } from '../send/compose.ts';
import type { Outgoing, Tracking } from '../send/outgoing.ts';
import { AttachmentSchema, attachments, HeaderSchema, headers, oneLine, PersonSchema, people } from './mail-fields.ts';
import { LAST_SECOND, UNIX_SECONDS } from './query.ts';

const People = Type.Array(PersonSchema);
const REFUSED = { description: 'Not supported: refused.' };

/** What a mail and a draft have in common. Unknown members are let through: the SDKs send some. */
const MAIL = {
  cc: Type.Optional(People),
  bcc: Type.Optional(People),
  reply_to: Type.Optional(People),
  from: Type.Optional(Type.Array(PersonSchema, { description: 'One entry; without it the owner of the grant.' })),
  subject: Type.Optional(Type.String()),
  body: Type.Optional(Type.String({ description: 'HTML, or plain text with is_plaintext.' })),
  is_plaintext: Type.Optional(Type.Boolean()),
  reply_to_message_id: Type.Optional(
    Type.String({ description: "What it answers: our id, a provider's id, or a Message-ID." }),
  ),
  custom_headers: Type.Optional(Type.Array(HeaderSchema)),
  // Not Type.Record: its pattern for keys lets one with a line break pass unchecked.
  metadata: Type.Optional(
    Type.Unsafe<Record<string, string>>({
      type: 'object',
      additionalProperties: { type: 'string' },
      description: 'At most 50 pairs, keys to 40 and values to 500 characters.',
    }),
  ),
  attachments: Type.Optional(Type.Array(AttachmentSchema)),
  tracking_options: Type.Optional(
    Type.Object({
      opens: Type.Optional(Type.Boolean({ description: 'Tells when it is opened.' })),
      links: Type.Optional(Type.Boolean({ description: 'Tells when a link is clicked.' })),
      thread_replies: Type.Optional(Type.Boolean({ description: 'Tells when it is answered.' })),
      label: Type.Optional(Type.String({ description: 'Stands in what is told; at most 2,048 characters.' })),
      domain_name: Type.Optional(Type.Unknown(REFUSED)),
    }),
  ),
  // Known to be refused aloud: a mail without its signature would be worse than none.
  sent_at: Type.Optional(Type.Unknown(REFUSED)), // so one of Nylas's guides calls send_at
  use_draft: Type.Optional(Type.Unknown(REFUSED)),
  template: Type.Optional(Type.Unknown(REFUSED)),
  signature_id: Type.Optional(Type.Unknown(REFUSED)),
};

/** The body of Send Message (contract 5.2). */
export const MessageBody = Type.Object({
  to: Type.Array(PersonSchema, { minItems: 1 }),
  ...MAIL,
  send_at: Type.Optional(Type.Integer({ description: 'Unix seconds, 60 seconds to 30 days ahead: it is sent then.' })),
});
export type MessageBody = Static<typeof MessageBody>;

/** The body of creating and of changing a draft (contract 5.4): nothing is required. */
export const DraftBody = Type.Object({
  to: Type.Optional(People),
  ...MAIL,
  starred: Type.Optional(Type.Boolean()),
  send_at: Type.Optional(Type.Unknown(REFUSED)),
});
export type DraftBody = Static<typeof DraftBody>;

/** The members of a mail that a request gave, checked. A member that is not there was not given. */
export type GivenMail = Partial<Omit<Outgoing, 'tracking'>> & { readonly tracking?: Partial<Tracking> };

/** The mail to send; what was not given is empty. `files` are further attachments, from the parts of a form. */
export function outgoingOf(body: MessageBody, files: readonly Attachment[] = []): Outgoing {
  return filledIn(readMail(body, files));
}

/** What is given of a draft, to make one of it or to change one. */
export function givenOf(body: DraftBody, files: readonly Attachment[] = []): GivenMail {
  if (isGiven(body.send_at)) throw invalid('send_at', 'is not supported in a draft: send it when it is time');
  return readMail(body, files);
}

export function filledIn({ tracking, ...given }: GivenMail): Outgoing {
  return { ...NOTHING, ...given, tracking: { ...NOTHING.tracking, ...tracking } };
}

function readMail(body: MessageBody | DraftBody, files: readonly Attachment[]): GivenMail {
  refuseUnsupported(body);
  const { from, reply_to_message_id: parent, is_plaintext: isPlaintext, tracking_options: options } = body;
  if (from !== undefined && from.length > 1) throw invalid('from', 'must have one entry');
  return {
    ...(from && { from: people('from', from)[0] ?? null }),
    ...(body.to && { to: people('to', body.to) }),
    ...(body.cc && { cc: people('cc', body.cc) }),
    ...(body.bcc && { bcc: people('bcc', body.bcc) }),
    ...(body.reply_to && { replyTo: people('reply_to', body.reply_to) }),
    ...(body.subject !== undefined && { subject: oneLine('subject', body.subject) }),
    ...(body.body !== undefined && { body: body.body }),
    ...(isPlaintext !== undefined && { isPlaintext }),
    ...(parent !== undefined && { replyToMessageId: parent }),
    ...(body.custom_headers && { customHeaders: headers('custom_headers', body.custom_headers, Boolean(parent)) }),
    ...(body.metadata && { metadata: body.metadata }),
    ...((body.attachments || files.length > 0) && { attachments: [...attachments(body.attachments), ...files] }),
    ...(options && { tracking: trackingOf(options) }),
  };
}

const NOTHING: Outgoing = {
  from: null,
  to: [],
  cc: [],
  bcc: [],
  replyTo: [],
  subject: '',
  body: '',
  isPlaintext: false,
  replyToMessageId: '',
  customHeaders: [],
  metadata: {},
  attachments: [],
  tracking: { opens: false, links: false, threadReplies: false, label: '' },
};

const LEAST_AHEAD = 60;
const MOST_DAYS_AHEAD = 30;

/** When the mail is to be sent (contract 5.5), in Unix seconds; null: now. `now` is in Unix milliseconds. */
export function sendAtOf({ send_at: sendAt }: MessageBody, now: number): number | null {
  if (sendAt === undefined) return null;
  if (sendAt > LAST_SECOND) throw invalid('send_at', UNIX_SECONDS);
  const ahead = sendAt - Math.floor(now / 1000);
  if (ahead < LEAST_AHEAD) {
    throw invalid('send_at', `must be at least ${LEAST_AHEAD} seconds ahead, and is ${shownAhead(ahead)}`);
  }
  if (ahead > MOST_DAYS_AHEAD * 24 * 3600) {
    throw invalid('send_at', `must be at most ${MOST_DAYS_AHEAD} days ahead, and is ${shownAhead(ahead)}`);
  }
  return sendAt;
}

function shownAhead(seconds: number): string {
  if (seconds <= 0) return 'not ahead at all';
  return seconds < 3600 ? `${seconds} seconds ahead` : `${Math.ceil(seconds / (24 * 3600))} days ahead`;
}

const UNSUPPORTED = {
  sent_at: 'the field is send_at',
  use_draft: 'a mail that is to be sent later has send_at alone, and drafts have their own calls',
  template: 'send the finished body',
  signature_id: 'write the signature into the body',
} as const;

/** What is not there to be done is refused aloud. */
function refuseUnsupported(body: MessageBody | DraftBody): void {
  for (const field of ['sent_at', 'use_draft', 'template', 'signature_id'] as const) {
    if (isGiven(body[field])) throw invalid(field, `is not supported: ${UNSUPPORTED[field]}`);
  }
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && value !== false;
}

function trackingOf(options: NonNullable<MessageBody['tracking_options']>): Partial<Tracking> {
  const { opens, links, thread_replies: threadReplies, label } = options;
  // No application has a hostname of its own yet (contract 1.7).
  if (options.domain_name !== undefined) {
    throw new ApiError(
      400,
      'api.invalid_request_error',
      'tracking_options.domain_name must be an active custom hostname for this organization',
    );
  }
  return {
    ...(opens !== undefined && { opens }),
    ...(links !== undefined && { links }),
    ...(threadReplies !== undefined && { threadReplies }),
    ...(label !== undefined && { label }),
  };
}
