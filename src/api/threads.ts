import { Type } from '@sinclair/typebox';
import { requireValid, resolveGrant } from '../grants/grants.ts';
import { caller, type Routes } from './http.ts';
import { selected } from './mail-wire.ts';
import { GRANT, operation } from './operation.ts';
import { list, readQuery } from './query.ts';
import { hangUpOf } from './read-mail.ts';
import { answer, unknownIn } from './respond.ts';
import { answerOf } from './schemas/envelopes.ts';
import { SelectedThread, Thread } from './schemas/mail.ts';
import type { ShownMailDeps } from './shown-mail.ts';
import { showThread } from './shown-thread.ts';

interface OneThread {
  Params: { identifier: string; thread_id: string };
}

const GET_QUERY = { select: list('Only these members, and id, object and grant_id') };
const GET = operation({
  id: 'getThread',
  tag: 'Threads',
  summary: 'Read a thread',
  params: { ...GRANT, thread_id: 'A thread: its id.' },
  query: GET_QUERY,
  answers: { 200: answerOf(Type.Union([Thread, SelectedThread])) },
  refusals: [403, 504],
});

/** GET /v3/grants/:identifier/threads/:thread_id */
export function threadRoutes(deps: ShownMailDeps): Routes {
  return (http) => {
    http.get<OneThread>('/v3/grants/:identifier/threads/:thread_id', GET, async (request, reply) => {
      const { select } = readQuery(request, GET_QUERY);
      const grant = await resolveGrant(deps.sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const { thread_id: id } = request.params;
      const thread = await showThread(deps, grant, id, hangUpOf(reply));
      if (thread === null) throw unknownIn('thread_id', 'thread', id);
      return answer(request, selected(thread, select));
    });
  };
}
