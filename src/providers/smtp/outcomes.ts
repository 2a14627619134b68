// What became of a mail, in the words of the port.
import type { SentMessageInfo, SMTPError } from 'nodemailer/lib/smtp-connection';
import type { CheckProblem, OutgoingMail, RefusedRecipient, SendOutcome } from '../provider.ts';
import { shortened } from '../wording.ts';
import { judge, type Reply, readReply, retryAfter, type Stage, shownReply, type Verdict } from './replies.ts';
import type { Route } from './route.ts';
import { type Handed, isOwnRefusal } from './session.ts';
import { reasonOf, type Trouble } from './trouble.ts';

export function handedOutcome(handed: Handed, mail: OutgoingMail, route: Route): SendOutcome {
  if (handed.kind === 'taken') return takenOutcome(handed.info, mail, route);
  if (handed.kind === 'unread') return { kind: 'unreachable', reason: UNREAD };
  const { given, error } = handed;
  if (handed.kind === 'lost') return lostOutcome(error, given);
  if (isOwnRefusal(error)) return { kind: 'rejected', reason: shortened(error.message), refused: route.refused };
  const refusals = given ? [] : (error.rejectedErrors ?? []);
  if (refusals.length > 0) return nobodyOutcome(refusals, route);
  const reply = readReply(error.response ?? '');
  if (reply === null) return lostOutcome(error, given);
  const stage: Stage = given || error.command === 'DATA' ? 'data' : 'from';
  return verdictOutcome(judge(stage, reply), reply, route.refused);
}

const UNREAD = 'the mail could not be read to its end, so the mail server was not given the end of it';

function takenOutcome(info: SentMessageInfo, mail: OutgoingMail, route: Route): SendOutcome {
  const refused = [...route.refused, ...(info.rejectedErrors ?? []).map((error) => refusedRecipient(error, route))];
  return { kind: 'sent', messageId: info.serverMessageId ?? mail.messageId, refused };
}

function lostOutcome(error: SMTPError, given: boolean): SendOutcome {
  const said = shortened(error.message);
  return given
    ? { kind: 'unknown', reason: `no answer after the mail had been given: ${said}` }
    : { kind: 'unreachable', reason: `the connection to the mail server was lost before the mail was given: ${said}` };
}

/** The worst of the refusals decides: what concerns everybody, then what will not change, then what may. */
function nobodyOutcome(errors: readonly SMTPError[], route: Route): SendOutcome {
  const replies = errors.map((error) => readReply(error.response ?? '') ?? NO_REPLY);
  const refused = [...route.refused, ...errors.map((error) => refusedRecipient(error, route))];
  for (const verdict of ['failed', 'rejected', 'throttled', 'deferred'] as const) {
    const reply = replies.find((candidate) => judge('recipient', candidate) === verdict);
    if (reply !== undefined) return verdictOutcome(verdict, reply, refused);
  }
  return verdictOutcome('rejected', NO_REPLY, refused);
}

const NO_REPLY: Reply = { code: 550, enhanced: '', text: 'an answer that is no SMTP reply' };

function refusedRecipient(error: SMTPError, route: Route): RefusedRecipient {
  const reply = readReply(error.response ?? '') ?? NO_REPLY;
  return { address: route.written(error.recipient ?? ''), reason: shownReply(reply) };
}

function verdictOutcome(verdict: Verdict, reply: Reply, refused: readonly RefusedRecipient[]): SendOutcome {
  const reason = shownReply(reply);
  switch (verdict) {
    case 'rejected':
      return { kind: 'rejected', reason, refused };
    case 'throttled': {
      const seconds = retryAfter(reply.text);
      return { kind: 'throttled', reason, ...(seconds !== undefined && { retryAfterSeconds: seconds }) };
    }
    default:
      return { kind: verdict, reason };
  }
}

/** Of a connection that did not come about: nothing was given. */
export function troubleOutcome(trouble: Trouble): SendOutcome {
  if (trouble.kind === 'refused') return verdictOutcome(trouble.verdict, trouble.reply, []);
  const kind = trouble.kind === 'blocked' || trouble.kind === 'unusable' ? 'failed' : 'unreachable';
  return { kind, reason: trouble.reason };
}

export function troubleProblem(trouble: Trouble): CheckProblem {
  return { at: 'smtp', kind: problemKind(trouble), reason: reasonOf(trouble) };
}

function problemKind(trouble: Trouble): CheckProblem['kind'] {
  if (trouble.kind !== 'refused') return trouble.kind;
  return trouble.verdict === 'unauthorised' ? 'unauthorised' : 'unreachable';
}
