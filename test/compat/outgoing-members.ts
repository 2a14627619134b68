// What the answers about mail that is still to be sent must have (contract 7.6): drafts and schedules.
import { ENVELOPE, LIST, MAIL_MEMBERS, type Members, SENT_MESSAGE, under } from './members.ts';

const DRAFT: Members = {
  ...MAIL_MEMBERS,
  object: ['draft'],
  'unread?': 'boolean',
  'created_at?': 'long',
  'reply_to_message_id?': 'string',
};
export const ONE_DRAFT: Members = { ...ENVELOPE, ...under('data', DRAFT) };
/** Every SDK ends at a cursor that is null, as at one that is not there. */
export const DRAFT_LIST: Members = { ...LIST, 'next_cursor?': 'string or null', ...under('data[]', DRAFT) };

/** Answered where `send_at` was asked for: Python and Java read both from `data`. */
export const SCHEDULED_SEND: Members = { ...SENT_MESSAGE, 'data.schedule_id': 'string', 'data.send_at': 'int' };

const SCHEDULE: Members = {
  schedule_id: 'string',
  status: 'object',
  'status.code': 'string',
  'status.description': 'string',
  'close_time?': 'int', // Java's Int
};
/** Not a bare list, as Nylas's own reference shows it: Python, Ruby and Node cannot read that (contract 5.5). */
export const SCHEDULE_LIST: Members = { ...LIST, ...under('data[]', SCHEDULE) };
export const ONE_SCHEDULE: Members = { ...ENVELOPE, ...under('data', SCHEDULE) };
export const SCHEDULE_STOPPED: Members = { ...ENVELOPE, 'data.message': 'string' };
