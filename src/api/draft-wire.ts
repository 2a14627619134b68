import type { Grant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import type { Draft } from '../send/draft-rows.ts';
import { snippet } from '../snippet.ts';
import { attachmentsToWire } from './message-wire.ts';

/** The draft object (contract 5.4), without nulls. Java needs the date (7.6): the draft's last change. */
export function draftToWire(grant: Grant, { id: uuid, threadId, mail, starred, createdAt, changedAt }: Draft): object {
  const id = wireId('dft', uuid);
  const { opens, links, threadReplies, label } = mail.tracking;
  return {
    id,
    object: 'draft',
    grant_id: grant.id,
    thread_id: threadId,
    subject: mail.subject,
    body: mail.body,
    snippet: snippet(mail.body, mail.isPlaintext),
    from: [mail.from ?? { email: grant.email, ...(grant.name !== '' && { name: grant.name }) }],
    to: mail.to,
    cc: mail.cc,
    bcc: mail.bcc,
    reply_to: mail.replyTo,
    date: seconds(changedAt),
    created_at: seconds(createdAt),
    folders: ['DRAFTS'],
    unread: false,
    starred,
    attachments: attachmentsToWire(grant, id, mail),
    tracking_options: { opens, links, thread_replies: threadReplies, label },
    reply_to_message_id: mail.replyToMessageId,
    metadata: mail.metadata,
  };
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
