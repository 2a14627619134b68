// An example of everything that is told, rendered like the real thing.
import { uuidTime, wireId } from '../ids.ts';
import type { MailDetail } from '../tracking/mail-facts.ts';
import type { RecentEvent } from '../tracking/recents.ts';
import type { SendDetail } from '../tracking/send-facts.ts';
import type { NotificationState } from './payloads.ts';
import { TOLD, type ToldTrigger } from './triggers.ts';

/** One that comes by itself, too: it is `message.created` without the body. */
const TRUNCATED = 'message.created.truncated';

/** What there is an example of. */
export const SAMPLED: readonly string[] = [...TOLD, TRUNCATED];

/** An example as of the time in `id`, a UUIDv7. Null where there is none. */
export function sampleState(
  trigger: string,
  { id, applicationId }: { readonly id: string; readonly applicationId: string },
): NotificationState | null {
  const told = TOLD.find((name) => name === trigger);
  const at = uuidTime(id);
  if (told !== undefined) return exampleOf(told, at, { id, createdAt: new Date(at), applicationId, grantId: GRANT });
  if (trigger !== TRUNCATED) return null;
  const mail = { ...arrivedMail(at), body: null };
  return { id, createdAt: new Date(at), applicationId, grantId: GRANT, trigger: 'message.created', detail: mail };
}

const GRANT = 'b5c6f0c2-7b54-4a9b-8d0e-3a1f6f0a4d22';
const MESSAGE = '019be13b-a400-7000-8000-000000000001';
const THREAD = wireId('thr', MESSAGE);
const REPLY = wireId('msg', '019be177-d000-7000-8000-000000000002');
const SCHEDULE = '0d4f1f1e-52a4-4a3e-8b9d-6f0a1d5a7a10';
const LABEL = 'spring-renewal';
const LINKS = ['https://shop.example/pricing', 'mailto:help@shop.example'];
const NYLA = { name: 'Nyla', email: 'nyla@shop.example' };
const KIM = { name: 'Kim Townsend', email: 'kim@client.example' };

function exampleOf(
  trigger: ToldTrigger,
  at: number,
  base: Pick<NotificationState, 'id' | 'createdAt' | 'applicationId' | 'grantId'>,
): NotificationState {
  const happenedAt = new Date(at - 1_000);
  const event = { messageId: MESSAGE, sequence: 1, happenedAt, label: LABEL };
  const opens = { ...event, linkCounts: null, links: [], recents: recentsAt(at, null) };
  const clicks = { ...event, linkCounts: [2, 0], links: LINKS, recents: recentsAt(at, 0) };
  const firstAt = new Date(at - 61_000);
  switch (trigger) {
    case 'message.opened':
      return { ...base, ...opens, trigger };
    case 'message.opened.legacy':
      return { ...base, ...opens, trigger, firstAt };
    case 'message.link_clicked':
      return { ...base, ...clicks, trigger };
    case 'message.link_clicked.legacy':
      return { ...base, ...clicks, trigger, firstAt };
    case 'thread.replied':
    case 'thread.replied.legacy':
      return {
        ...base,
        ...event,
        trigger,
        sequence: 0,
        detail: {
          messageId: REPLY,
          replyToMessageId: wireId('msg', MESSAGE),
          threadId: THREAD,
          fromSelf: false,
          autoReply: false,
        },
      };
    case 'message.send_success':
      return { ...base, trigger, messageId: MESSAGE, detail: sentMail(at) };
    case 'message.send_failed': {
      const error = {
        type: 'api.provider_error',
        message: '550 5.7.1 relaying denied',
        statusCode: 550,
        providerError: { code: '550', reason: '550 5.7.1 relaying denied' },
      };
      const failure = { reason: 'The mail provider refused the message.', error };
      return { ...base, trigger, messageId: MESSAGE, detail: { ...sentMail(at), failure } };
    }
    case 'message.bounce_detected':
      return {
        ...base,
        trigger,
        messageId: MESSAGE,
        detail: {
          provider: 'imap',
          reason: '5.1.1 mailbox does not exist',
          type: 'mailbox_unavailable',
          code: '550',
          bouncedAt: Math.floor(at / 1000) - 1,
          addresses: [KIM.email],
          origin: {
            from: NYLA.email,
            to: [KIM.email],
            cc: [],
            bcc: [],
            subject: 'Renewal',
            mimeId: 'abc123@shop.example',
            sentAt: Math.floor(at / 1000) - 101,
          },
        },
      };
    case 'message.created':
      return { ...base, trigger, detail: arrivedMail(at) };
    case 'grant.created':
    case 'grant.updated':
    case 'grant.expired':
    case 'grant.deleted':
      return {
        ...base,
        trigger,
        detail: {
          provider: 'imap',
          email: NYLA.email,
          name: NYLA.name,
          scope: [],
          updatedAt: Math.floor(at / 1000) - 1,
          reauthenticated: false,
        },
      };
  }
}

function recentsAt(at: number, linkIndex: number | null): readonly RecentEvent[] {
  const agent =
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0';
  return [61_000, 1_000].map((before, sequence) => ({
    sequence,
    linkIndex,
    happenedAt: new Date(at - before),
    ip: '203.0.113.9',
    userAgent: agent,
    class: 'unknown',
    reasons: [],
  }));
}

function sentMail(at: number): SendDetail {
  return {
    subject: 'Renewal',
    snippet: 'Hello Kim',
    from: [NYLA],
    to: [KIM],
    cc: [],
    bcc: [],
    replyTo: [],
    scheduleId: SCHEDULE,
    sendAt: Math.floor(at / 1000) - 1,
    useDraft: false,
    failure: null,
  };
}

function arrivedMail(at: number): MailDetail {
  return {
    provider: 'imap',
    id: REPLY,
    threadId: THREAD,
    subject: 'Re: Renewal',
    from: [KIM],
    to: [NYLA],
    cc: [],
    bcc: [],
    replyTo: [],
    date: Math.floor(at / 1000) - 10,
    body: '<p>Sounds good</p>',
    snippet: 'Sounds good',
    starred: false,
    unread: true,
    folders: ['INBOX'],
    attachments: [],
  };
}
