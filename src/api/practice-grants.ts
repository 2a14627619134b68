import { type Static, Type } from '@sinclair/typebox';
import { ApiError, invalid } from '../errors.ts';
import { findApplication, listApplications } from '../grants/applications.ts';
import { listGrants } from '../grants/grant-list.ts';
import { expireGrant, findGrant, type Grant, toWire } from '../grants/grants.ts';
import { openPracticeGrant } from '../grants/practice-mail.ts';
import type { Sender } from '../grants/senders.ts';
import type { SendDeps } from '../send/send.ts';
import { type AnyRequest, type Http, practiceCaller } from './http.ts';
import { person } from './mail-fields.ts';
import type { MessageBody } from './message-body.ts';
import { sendAs, sendRoute } from './messages.ts';
import { answer } from './respond.ts';

interface OneGrant {
  Params: { id: string };
}

const GrantBody = Type.Object({
  email: Type.String(),
  name: Type.Optional(Type.String()),
  /** For the operator, who belongs to no application; without it the first one is meant. */
  application_id: Type.Optional(Type.String()),
});

const ALL = { limit: 1000, offset: 0, sortBy: 'created_at', orderBy: 'asc', providers: ['practice'] } as const;

/** Practice grants: list, make or authenticate again, let expire, and send as one from the page. */
export function practiceGrantRoutes(http: Http, deps: SendDeps): void {
  const { sql } = deps;

  http.get('/practice/grants', async (request) => {
    const lists = await Promise.all((await apps(deps, request)).map((app) => listGrants(sql, app, ALL)));
    return answer(request, lists.flat().map(toWire));
  });

  http.post<{ Body: Static<typeof GrantBody> }>(
    '/practice/grants',
    { schema: { body: GrantBody } },
    async (request, reply) => {
      const owner = person('', request.body);
      const app = await appFor(deps, request, request.body.application_id);
      const known = await findGrant(sql, app, `email:${owner.email}`);
      if (known && known.provider !== 'practice') throw invalid('email', 'has the grant of a real mailbox already');
      const { grant, created } = await openPracticeGrant(deps, app, owner);
      deps.onFacts?.();
      reply.code(created ? 201 : 200);
      return answer(request, toWire(grant));
    },
  );

  http.post<OneGrant>('/practice/grants/:id/expire', async (request) => {
    const grant = await practiceGrant(deps, request, request.params.id);
    if (await expireGrant(sql, grant.app, grant.id)) deps.onFacts?.();
    return answer(request, toWire({ ...grant, state: 'expired' }));
  });

  http.post<OneGrant & { Body: MessageBody }>('/practice/grants/:id/send', sendRoute, async (request) =>
    sendAs(deps, await practiceSender(deps, request, request.params.id), request),
  );
}

async function practiceGrant(deps: SendDeps, request: AnyRequest, identifier: string): Promise<Grant> {
  for (const app of await apps(deps, request)) {
    const grant = await findGrant(deps.sql, app, identifier);
    if (grant?.provider === 'practice') return grant;
  }
  throw new ApiError(404, 'grant.not_found', 'Grant not found.');
}

async function practiceSender(deps: SendDeps, request: AnyRequest, identifier: string): Promise<Sender> {
  const { app, id } = await practiceGrant(deps, request, identifier);
  return await deps.senders(app, id);
}

async function apps({ sql }: SendDeps, request: AnyRequest): Promise<readonly number[]> {
  const { app } = practiceCaller(request);
  return app === null ? (await listApplications(sql)).map(({ serial }) => serial) : [app];
}

async function appFor(deps: SendDeps, request: AnyRequest, applicationId: string | undefined): Promise<number> {
  const allowed = await apps(deps, request);
  const named = applicationId === undefined ? allowed[0] : (await findApplication(deps.sql, applicationId))?.serial;
  if (named === undefined || !allowed.includes(named)) throw invalid('application_id', 'names no application');
  return named;
}
