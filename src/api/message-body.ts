import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import type { Outgoing, Tracking } from '../send/outgoing.ts';
import { AttachmentSchema, attachments, HeaderSchema, headers, oneLine, PersonSchema, people } from './mail-fields.ts';

const People = Type.Array(PersonSchema);

/** The body of Send Message (contract 5.2). Unknown members are let through: the SDKs send some. */
export const MessageBody = Type.Object({
  to: Type.Array(PersonSchema, { minItems: 1 }),
  cc: Type.Optional(People),
  bcc: Type.Optional(People),
  reply_to: Type.Optional(People),
  from: Type.Optional(People),
  subject: Type.Optional(Type.String()),
  body: Type.Optional(Type.String()),
  is_plaintext: Type.Optional(Type.Boolean()),
  reply_to_message_id: Type.Optional(Type.String()),
  custom_headers: Type.Optional(Type.Array(HeaderSchema)),
  // Not Type.Record: its pattern for keys lets one with a line break pass unchecked.
  metadata: Type.Optional(
    Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: { type: 'string' } }),
  ),
  attachments: Type.Optional(Type.Array(AttachmentSchema)),
  tracking_options: Type.Optional(
    Type.Object({
      opens: Type.Optional(Type.Boolean()),
      links: Type.Optional(Type.Boolean()),
      thread_replies: Type.Optional(Type.Boolean()),
      label: Type.Optional(Type.String()),
      domain_name: Type.Optional(Type.Unknown()),
    }),
  ),
  use_draft: Type.Optional(Type.Boolean()),
  send_at: Type.Optional(Type.Unknown()),
  template: Type.Optional(Type.Unknown()),
  signature_id: Type.Optional(Type.Unknown()),
});
export type MessageBody = Static<typeof MessageBody>;

/** What is not there to be done is refused aloud; a scheduled mail that leaves at once would be worse than none. */
export function outgoingOf(body: MessageBody): Outgoing {
  for (const field of ['send_at', 'template', 'signature_id'] as const) {
    if (body[field] !== undefined && body[field] !== '') throw invalid(field, 'is not supported yet');
  }
  if (body.use_draft === true) throw invalid('use_draft', 'is not supported yet');
  const replyToMessageId = body.reply_to_message_id ?? '';
  const from = people('from', body.from);
  if (from.length > 1) throw invalid('from', 'must have one entry');
  return {
    from: from[0] ?? null,
    to: people('to', body.to),
    cc: people('cc', body.cc),
    bcc: people('bcc', body.bcc),
    replyTo: people('reply_to', body.reply_to),
    subject: oneLine('subject', body.subject ?? ''),
    body: body.body ?? '',
    isPlaintext: body.is_plaintext ?? false,
    replyToMessageId,
    customHeaders: headers('custom_headers', body.custom_headers, replyToMessageId !== ''),
    metadata: body.metadata ?? {},
    attachments: attachments(body.attachments),
    tracking: trackingOf(body.tracking_options),
  };
}

/** Members that are null count as not given, as they do for Nylas; in metadata a null is a mistake. */
export function withoutNulls(value: unknown, depth = DEEPEST): unknown {
  if (depth === 0 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, depth - 1));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([name, member]) => [name, name === 'metadata' ? member : withoutNulls(member, depth - 1)]),
  );
}

/** The body, a list in it, a member of that list: nothing we read lies deeper. */
const DEEPEST = 3;

function trackingOf(options: MessageBody['tracking_options']): Tracking {
  // No application has a hostname of its own yet (contract 1.7).
  if (options?.domain_name !== undefined) {
    throw new ApiError(
      400,
      'api.invalid_request_error',
      'tracking_options.domain_name must be an active custom hostname for this organization',
    );
  }
  return {
    opens: options?.opens ?? false,
    links: options?.links ?? false,
    threadReplies: options?.thread_replies ?? false,
    label: options?.label ?? '',
  };
}
