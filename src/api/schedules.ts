import { Type } from '@sinclair/typebox';
import type { Sql } from '../db/pool.ts';
import { invalid } from '../errors.ts';
import { requireValid, resolveGrant } from '../grants/grants.ts';
import { wireId } from '../ids.ts';
import { cancelSchedule, findSchedule, listSchedules, type Schedule } from '../send/schedules.ts';
import { caller, type Routes } from './http.ts';
import { GRANT, operation } from './operation.ts';
import { answer, unknownIn } from './respond.ts';
import { answerOf, listOf } from './schemas/envelopes.ts';
import { type SCHEDULE_CODES, ScheduledMessage } from './schemas/schedules.ts';

const PARAMS = { ...GRANT, schedule_id: 'The schedule_id that scheduling the message answered.' };

const LIST = operation({
  id: 'listScheduledMessages',
  tag: 'Messages',
  summary: 'List scheduled messages',
  description: 'By their time; those that came to rest are shown for three more days.',
  params: GRANT,
  answers: { 200: listOf(ScheduledMessage) },
});
const GET = operation({
  id: 'getScheduledMessage',
  tag: 'Messages',
  summary: 'Read a scheduled message',
  params: PARAMS,
  answers: { 200: answerOf(ScheduledMessage) },
});
const STOP = operation({
  id: 'stopScheduledMessage',
  tag: 'Messages',
  summary: 'Cancel a scheduled message',
  params: PARAMS,
  answers: { 202: answerOf(Type.Object({ message: Type.String() })) },
});

interface All {
  Params: { identifier: string };
}
interface One {
  Params: { identifier: string; schedule_id: string };
}

/** GET /v3/grants/:identifier/messages/schedules, GET and DELETE …/schedules/:schedule_id (contract 5.5) */
export function scheduleRoutes({ sql }: { readonly sql: Sql }): Routes {
  return (http) => {
    http.get<All>('/v3/grants/:identifier/messages/schedules', LIST, async (request) => {
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const schedules = await listSchedules(sql, grant.app, grant.id);
      return answer(request, schedules.map(scheduleToWire));
    });

    http.get<One>('/v3/grants/:identifier/messages/schedules/:schedule_id', GET, async (request) => {
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      return answer(request, scheduleToWire(await found(sql, grant, request.params.schedule_id)));
    });

    http.delete<One>('/v3/grants/:identifier/messages/schedules/:schedule_id', STOP, async (request, reply) => {
      const grant = await resolveGrant(sql, caller(request).app, request.params.identifier);
      const { schedule_id: name } = request.params;
      if (!(await cancelSchedule(sql, grant.app, await found(sql, grant, name)))) {
        const { description } = statusOf(await found(sql, grant, name));
        throw invalid('schedule_id', `cannot be cancelled any more: ${description}`);
      }
      reply.code(202);
      return answer(request, { message: STOPPED });
    });
  };
}

/** Nylas's own words. */
const STOPPED = 'requested cancelation for workflow';

async function found(
  sql: Sql,
  { app, id }: { readonly app: number; readonly id: string },
  name: string,
): Promise<Schedule> {
  const schedule = await findSchedule(sql, app, id, name.toLowerCase());
  if (schedule === null) throw unknownIn('schedule_id', 'scheduled message', name);
  return schedule;
}

function scheduleToWire(schedule: Schedule): object {
  const { id, messageId, sendAt, closedAt } = schedule;
  return {
    schedule_id: id,
    status: statusOf(schedule),
    ...(closedAt !== null && { close_time: Math.floor(closedAt.getTime() / 1000) }),
    send_at: Math.floor(sendAt.getTime() / 1000),
    message_id: wireId('msg', messageId),
  };
}

function statusOf({ state, reason }: Schedule): { code: (typeof SCHEDULE_CODES)[number]; description: string } {
  switch (state) {
    case 'scheduled':
      return { code: 'pending', description: 'schedule send awaiting send at time' };
    case 'sending':
      return { code: 'sending', description: 'schedule send is being handed to the mail provider' };
    case 'unknown':
      return {
        code: 'sending',
        description: 'schedule send is being looked up: the mail provider did not say whether it took it',
      };
    case 'sent':
      return { code: 'success', description: 'schedule send succeeded' };
    case 'failed':
      return { code: 'failed', description: `schedule send failed: ${reason ?? 'the reason is not known'}` };
    case 'cancelled':
      return { code: 'cancelled', description: 'schedule send was cancelled' };
  }
}
