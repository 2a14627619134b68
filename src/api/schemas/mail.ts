// Messages, drafts and threads as they are answered (contract 5.3, 5.4, 5.6). Required is what is always there (7.6).
import { Type } from '@sinclair/typebox';
import { HeaderSchema, PersonSchema } from '../mail-fields.ts';

export const UnixSeconds = Type.Integer({ description: 'Unix seconds' });
const People = Type.Array(PersonSchema);

export const Attachment = Type.Object(
  {
    id: Type.String(),
    grant_id: Type.String(),
    filename: Type.String(),
    content_type: Type.String(),
    size: Type.Integer({ description: 'Bytes' }),
    content_disposition: Type.Optional(Type.String()),
    is_inline: Type.Boolean(),
    content_id: Type.Optional(Type.String({ description: 'The body refers to it as cid:…' })),
  },
  { title: 'Attachment' },
);

export const TrackingOptions = Type.Object(
  {
    opens: Type.Boolean(),
    links: Type.Boolean(),
    thread_replies: Type.Boolean(),
    label: Type.String({ description: 'Empty for none.' }),
  },
  { title: 'TrackingOptions' },
);

export const Metadata = Type.Unsafe<Record<string, string>>({
  type: 'object',
  additionalProperties: { type: 'string' },
  description: 'At most 50 pairs, keys to 40 and values to 500 characters.',
});

/** What messages and drafts have in common. */
export const mailMembers = {
  grant_id: Type.String(),
  subject: Type.String(),
  body: Type.String({ description: 'HTML, or plain text of a plain-text mail.' }),
  snippet: Type.String({ description: 'The first 100 characters of the text.' }),
  from: People,
  to: People,
  cc: People,
  bcc: People,
  reply_to: People,
  date: Type.Integer({ description: 'Unix seconds' }),
  folders: Type.Array(Type.String()),
  starred: Type.Boolean(),
  attachments: Type.Array(Attachment),
  metadata: Type.Optional(Metadata),
};

const messageMembers = {
  id: Type.String(),
  object: Type.Literal('message'),
  thread_id: Type.String(),
  ...mailMembers,
  unread: Type.Boolean(),
};
const headers = Type.Optional(
  Type.Array(HeaderSchema, { description: 'With fields=include_headers or include_basic_headers.' }),
);

export const Message = Type.Object(
  {
    ...messageMembers,
    headers,
    tracking_options: Type.Optional(
      Type.Object(TrackingOptions.properties, {
        description: 'With fields=include_tracking_options, of what was sent from here.',
      }),
    ),
  },
  { title: 'Message' },
);

/** A message with only the members that `select` named. */
export const SelectedMessage = Type.Object(
  {
    ...Type.Partial(Message).properties,
    object: Message.properties.object,
    id: Type.String(),
    grant_id: Type.String(),
  },
  { title: 'SelectedMessage', description: 'With `select`: the members it names, and id, object, grant_id.' },
);

export const SentMessage = Type.Object(
  {
    ...messageMembers,
    headers,
    tracking_options: Type.Object(TrackingOptions.properties, {
      description: 'What is really tracked: less than was asked for where a warning says so.',
    }),
    reply_to_message_id: Type.String({ description: 'As it was given; empty for none.' }),
    schedule_id: Type.String({ description: 'Empty for a message that was sent at once.' }),
    send_at: Type.Optional(Type.Integer({ description: 'Unix seconds; of a scheduled message.' })),
    use_draft: Type.Optional(Type.Boolean()),
  },
  { title: 'SentMessage' },
);

export const Draft = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('draft'),
    thread_id: Type.String(),
    ...mailMembers,
    metadata: Metadata,
    date: Type.Integer({ description: 'Unix seconds; the last change.' }),
    created_at: UnixSeconds,
    unread: Type.Boolean(),
    tracking_options: Type.Object(TrackingOptions.properties, { description: 'Applied when it is sent.' }),
    reply_to_message_id: Type.String({ description: 'As it was given; empty for none.' }),
  },
  { title: 'Draft' },
);

/** A draft with only the members that `select` named. */
export const SelectedDraft = Type.Object(
  {
    ...Type.Partial(Draft).properties,
    object: Draft.properties.object,
    id: Type.String(),
    grant_id: Type.String(),
  },
  { title: 'SelectedDraft', description: 'With `select`: the members it names, and id, object, grant_id.' },
);

const threadMembers = {
  id: Type.String(),
  object: Type.Literal('thread'),
  grant_id: Type.String(),
  subject: Type.String(),
  snippet: Type.String(),
  participants: People,
  message_ids: Type.Array(Type.String(), { description: 'Oldest first, at most the newest 1,000.' }),
  draft_ids: Type.Array(Type.String()),
  folders: Type.Array(Type.String()),
  has_attachments: Type.Boolean(),
  has_drafts: Type.Boolean(),
  starred: Type.Boolean(),
  unread: Type.Boolean(),
  earliest_message_date: Type.Optional(UnixSeconds),
  latest_message_received_date: Type.Optional(UnixSeconds),
  latest_message_sent_date: Type.Optional(UnixSeconds),
  latest_draft_or_message: Type.Union([Message, Draft]),
};

export const Thread = Type.Object(threadMembers, { title: 'Thread' });

/** A thread with only the members that `select` named. */
export const SelectedThread = Type.Object(
  { ...Type.Partial(Thread).properties, object: threadMembers.object, id: Type.String(), grant_id: Type.String() },
  { title: 'SelectedThread', description: 'With `select`: the members it names, and id, object, grant_id.' },
);
