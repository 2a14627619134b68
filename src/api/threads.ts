import { requireValid, resolveGrant } from '../grants/grants.ts';
import { caller, type Routes } from './http.ts';
import { selected } from './mail-wire.ts';
import { readQuery } from './query.ts';
import { hangUpOf } from './read-mail.ts';
import { answer, unknownIn } from './respond.ts';
import type { ShownMailDeps } from './shown-mail.ts';
import { showThread } from './shown-thread.ts';

interface OneThread {
  Params: { identifier: string; thread_id: string };
}

/** GET /v3/grants/:identifier/threads/:thread_id */
export function threadRoutes(deps: ShownMailDeps): Routes {
  return (http) => {
    http.get<OneThread>('/v3/grants/:identifier/threads/:thread_id', async (request, reply) => {
      const select = readQuery(request).list('select');
      const grant = await resolveGrant(deps.sql, caller(request).app, request.params.identifier);
      requireValid(grant);
      const { thread_id: id } = request.params;
      const thread = await showThread(deps, grant, id, hangUpOf(reply));
      if (thread === null) throw unknownIn('thread_id', 'thread', id);
      return answer(request, selected(thread, select));
    });
  };
}
