// Contract 2.5 and 2.6: how a message of ours fared after it was taken.
import { wireId } from '../../ids.ts';
import type { BounceDetail } from '../../tracking/bounce-facts.ts';
import type { SendDetail, SendFailure } from '../../tracking/send-facts.ts';
import type { AnyState, Contents } from './state.ts';

export interface SentState extends AnyState<'message.send_success'> {
  readonly messageId: string;
  readonly detail: SendDetail;
}

export interface SendFailedState extends AnyState<'message.send_failed'> {
  readonly messageId: string;
  readonly detail: SendDetail & { readonly failure: SendFailure };
}

export interface BounceState extends AnyState<'message.bounce_detected'> {
  readonly messageId: string;
  readonly detail: BounceDetail;
}

export function sendContents(state: SentState | SendFailedState): Contents {
  const { applicationId, grantId } = state;
  const whose = { application_id: applicationId, grant_id: grantId };
  const failed = state.trigger === 'message.send_failed' ? failureOf(state.detail.failure) : {};
  return { source: '/nylas/send', data: { ...whose, ...failed, object: messageObject(state) } };
}

/** Stands beside the message, not in it. */
function failureOf({ reason, error }: SendFailure): object {
  const { type, message, statusCode, providerError } = error;
  return {
    reason,
    error: {
      type,
      message,
      ...(statusCode === null ? {} : { status_code: statusCode }),
      ...(providerError === null ? {} : { provider_error: providerError }),
    },
  };
}

/** Without the body, which may be a megabyte and is its author's own. */
function messageObject({ grantId, messageId, detail }: SentState | SendFailedState): object {
  const { scheduleId, sendAt } = detail;
  return {
    object: 'message',
    grant_id: grantId,
    id: wireId('msg', messageId),
    subject: detail.subject,
    snippet: detail.snippet,
    from: detail.from,
    to: detail.to,
    cc: detail.cc,
    bcc: detail.bcc,
    reply_to: detail.replyTo,
    ...(scheduleId === null ? {} : { schedule_id: scheduleId }),
    ...(sendAt === null ? {} : { send_at: sendAt }),
    ...(detail.useDraft ? { use_draft: true } : {}),
  };
}

export function bounceContents({ applicationId, grantId, messageId, detail }: BounceState): Contents {
  const { origin } = detail;
  const message = wireId('msg', messageId);
  const object = {
    bounce_reason: detail.reason,
    bounce_date: mailDate(detail.bouncedAt),
    bounced_addresses: detail.addresses.join(', '), // a string whatever its name says
    type: detail.type,
    code: detail.code,
    grant_id: grantId,
    message_id: message,
    origin: {
      to: origin.to,
      from: origin.from,
      cc: origin.cc,
      bcc: origin.bcc,
      subject: origin.subject,
      mime_id: origin.mimeId,
      id: message,
      original_send_at: mailDate(origin.sentAt),
    },
  };
  const data = { application_id: applicationId, grant_id: grantId, object };
  return { source: `/${detail.provider}/emails/realtime`, data };
}

/** RFC 5322 section 3.3, in UTC. */
function mailDate(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toUTCString().replace('GMT', '+0000');
}
