// Two applications that have the same of everything, behind the whole API, and the rows of each.
import assert from 'node:assert/strict';
import { applicationRoutes } from '../../src/api/applications.ts';
import { channelRoutes } from '../../src/api/channels.ts';
import { connectRoutes } from '../../src/api/connect.ts';
import { deliveryRoutes } from '../../src/api/deliveries.ts';
import { draftRoutes } from '../../src/api/drafts.ts';
import { grantRoutes } from '../../src/api/grants.ts';
import type { Routes } from '../../src/api/http.ts';
import { messageRoutes } from '../../src/api/messages.ts';
import { notificationRoutes } from '../../src/api/notifications.ts';
import { practiceRoutes } from '../../src/api/practice.ts';
import { redirectUriRoutes } from '../../src/api/redirect-uris.ts';
import { scheduleRoutes } from '../../src/api/schedules.ts';
import { createApi } from '../../src/api/server.ts';
import { threadRoutes } from '../../src/api/threads.ts';
import { webhookRoutes } from '../../src/api/webhooks.ts';
import { ensurePartitions } from '../../src/db/partitions.ts';
import type { Sql } from '../../src/db/pool.ts';
import { uuidv7, wireId } from '../../src/ids.ts';
import { generateSecret, parseKeyring } from '../../src/keyring.ts';
import { makeLog } from '../../src/log.ts';
import { fanOut } from '../../src/notify/fanout.ts';
import { getSubscription, secretContext } from '../../src/notify/subscriptions.ts';
import { testDestinations } from './destinations.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { startSender } from './sender.ts';
import { at } from './service.ts';
import { OUTGOING } from './webhook-api.ts';

/** What a path, a query or a body may name. */
export type Kind =
  | 'address'
  | 'application'
  | 'attachment'
  | 'called'
  | 'draft'
  | 'draft to send'
  | 'grant'
  | 'hook'
  | 'practice grant'
  | 'message'
  | 'thread'
  | 'schedule'
  | 'webhook'
  | 'channel'
  | 'notification'
  | 'cursor'
  | 'redirect uri'
  | 'redirect url'
  | 'pair'
  | 'practice mail';

export interface Tenant {
  readonly app: number;
  readonly key: string;
  /** Stands in everything it wrote. */
  readonly marker: string;
  /** Its own of every kind under each name that it has; the first is the plainest. */
  readonly names: Readonly<Record<Kind, readonly string[]>>;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: object | undefined;
  /** '' sends none. */
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface TwoTenants {
  readonly sql: Sql;
  readonly owner: Tenant;
  readonly stranger: Tenant;
  readonly receiver: Receiver;
  /** Of every route of the server: its method and pattern. */
  readonly routes: readonly string[];
  ask(asked: Asked): Promise<Answered>;
  /** Changes when any row of the owner does, in whatever table. */
  ownersRows(): Promise<object>;
  close(): Promise<void>;
}

/** The functions below `src/api` whose routes are asked for here. A test compares them with the files. */
export const ASKED_ROUTES = [
  'applicationRoutes',
  'channelRoutes',
  'connectRoutes',
  'deliveryRoutes',
  'draftRoutes',
  'grantRoutes',
  'messageRoutes',
  'notificationRoutes',
  'practiceRoutes',
  'redirectUriRoutes',
  'scheduleRoutes',
  'threadRoutes',
  'webhookRoutes',
] as const;

export async function startTwoTenants(): Promise<TwoTenants> {
  const sender = await startSender();
  const { deps } = sender;
  const { sql } = sender.database;
  await ensurePartitions(sql, Date.now());
  const receiver = await startReceiver();
  const { destinations, close } = testDestinations();
  const { vault } = deps;
  const all = {
    applicationRoutes: [applicationRoutes({ sql })],
    channelRoutes: [channelRoutes({ sql, vault, destinations })],
    connectRoutes: [connectRoutes(deps)],
    deliveryRoutes: (['webhook', 'pubsub'] as const).map((kind) =>
      deliveryRoutes({
        sql,
        base: kind === 'webhook' ? '/v3/webhooks' : '/v3/channels/pubsub',
        onDeliveries: () => {},
        find: (app, name) => getSubscription({ sql }, app, kind, name),
      }),
    ),
    draftRoutes: [draftRoutes(deps)],
    grantRoutes: [grantRoutes(deps)],
    messageRoutes: [messageRoutes(deps)],
    notificationRoutes: [notificationRoutes({ sql })],
    practiceRoutes: [practiceRoutes(deps)],
    redirectUriRoutes: [redirectUriRoutes({ sql })],
    scheduleRoutes: [scheduleRoutes({ sql })],
    threadRoutes: [threadRoutes(deps)],
    webhookRoutes: [webhookRoutes({ sql, vault, destinations, outgoing: OUTGOING })],
  } satisfies Record<(typeof ASKED_ROUTES)[number], Routes[]>;
  const http = createApi({
    sql,
    log: makeLog('silent'),
    ring: parseKeyring(generateSecret()),
    publicUrl: 'http://localhost:8080',
    routes: Object.values(all).flat(),
  });
  const routes: string[] = [];
  http.addHook('onRoute', ({ method, url }) => {
    for (const each of [method].flat()) routes.push(`${each} ${url}`);
  });
  await http.ready();

  const ask = async ({ method, path, body, key, headers }: Asked): Promise<Answered> => {
    const answer = await http.inject({
      method: Reflect.get(METHODS, method),
      url: path,
      headers: { ...(key !== '' && { authorization: `Bearer ${key}` }), ...headers },
      ...(body !== undefined && { payload: body }),
    });
    return { status: answer.statusCode, headers: answer.headers, text: answer.payload };
  };
  const tenant = (marker: string): Promise<Tenant> =>
    newTenant({ sql, vault, ask, application: sender.application, hook: receiver.origin }, marker);
  const owner = await tenant('owner-7f3a');
  const stranger = await tenant('stranger-b21c');

  return {
    sql,
    owner,
    stranger,
    receiver,
    routes,
    ask,
    ownersRows: () => rowsOf(sql, owner.app),
    async close() {
      await http.close();
      await close();
      await receiver.close();
      await sender.close();
    },
  };
}

const METHODS = { GET: 'GET', HEAD: 'HEAD', POST: 'POST', PUT: 'PUT', PATCH: 'PATCH', DELETE: 'DELETE' } as const;

interface TenantDeps {
  readonly sql: Sql;
  readonly vault: Parameters<typeof channelRoutes>[0]['vault'];
  readonly ask: TwoTenants['ask'];
  readonly application: (
    environment: 'production',
  ) => Promise<{ readonly grant: { readonly app: number }; readonly key: string }>;
  readonly hook: string;
}

/** One of everything, made through the API where it makes it without an answer from elsewhere. */
async function newTenant({ sql, vault, ask, application, hook }: TenantDeps, marker: string): Promise<Tenant> {
  const { grant: first, key } = await application('production');
  const { app } = first;
  const call = async (method: string, path: string, body?: object, headers?: Record<string, string>) => {
    const { status, text } = await ask({ method, path, body, key, ...(headers && { headers }) });
    assert.ok(status < 300, `${method} ${path}: ${text}`);
    const answer: unknown = JSON.parse(text);
    return (where: string): string => {
      const value = at(answer, where);
      assert.equal(typeof value, 'string', `${where} of ${text}`);
      return String(value);
    };
  };
  const destination = async (kind: string, address: string): Promise<string> => {
    const id = uuidv7();
    await sql`
      insert into destinations (app, id, kind, address, triggers, status, secret, description)
      values (${app}, ${id}, ${kind}, ${address}, ${['grant.created', 'message.send_success']}, 'active',
        ${vault.seal(marker, secretContext(id))}, ${marker})`;
    return id;
  };

  const webhook = await destination('webhook', `${hook}/${marker}`);
  const channel = await destination('pubsub', `projects/telltale/topics/${marker}`);
  await call('PATCH', '/v3/applications', {
    branding: { name: marker, description: marker },
    hosted_authentication: { title: marker },
    tracking_settings: { notify_sends: true },
  });
  const email = `${marker}@practice.test`;
  const grant = (await call('POST', '/practice/grants', { email }))('data.id');
  const mail = {
    to: [{ email: `kim+${marker}@example.com`, name: marker }],
    subject: `Subject ${marker}`,
    body: `<p>${marker} <a href="https://example.com/${marker}">link</a></p>`,
    metadata: { about: marker },
    attachments: [{ filename: `${marker}.txt`, content_type: 'text/plain', content: 'YQ==' }],
    tracking_options: { opens: true, links: true, thread_replies: true, label: marker },
  };
  const sends = `/v3/grants/${grant}/messages/send`;
  const sent = await call('POST', sends, mail, { 'idempotency-key': 'the-same-key' });
  const send_at = Math.floor(Date.now() / 1000) + 86_400;
  const scheduled = await call('POST', sends, { ...mail, send_at });
  const drafts = `/v3/grants/${grant}/drafts`;
  const draft = await call('POST', drafts, mail);
  const draftToSend = await call('POST', drafts, mail);
  const redirect = await call('POST', '/v3/applications/redirect-uris', { url: `https://${marker}.example.com/` });
  const kept = await call('GET', '/practice/messages');
  await fanOut({ sql, log: makeLog('silent'), now: Date.now() }, 1000);
  const told = await call('GET', '/v3/notifications?limit=1');
  const [row] = await sql<{ header: string; provider: string | null }[]>`
    select message_id as header, provider_message_id as provider from messages where app = ${app} and state = 'sent'`;
  const [known] = await sql<{ id: string; name: string }[]>`select id, name from applications where serial = ${app}`;
  const blobs = await sql<{ id: string }[]>`select id from blobs where app = ${app} order by id`;
  assert.ok(row && known && blobs.length > 0);

  return {
    app,
    key,
    marker,
    names: {
      address: [email],
      application: [known.id, known.name],
      attachment: [
        sent('data.attachments.0.id'),
        draft('data.attachments.0.id'),
        ...blobs.map(({ id }) => id), // inside only, and therefore no name of anything outside
      ],
      called: [marker, known.name],
      draft: [draft('data.id')],
      'draft to send': [draftToSend('data.id')],
      grant: [grant, `grant:${grant}`, grant.toUpperCase(), email, `email:${email}`, `email:${email.toUpperCase()}`],
      hook: [`${hook}/${marker}`],
      'practice grant': [grant, email],
      message: [sent('data.id'), row.header, row.header.slice(1, -1), ...(row.provider === null ? [] : [row.provider])],
      thread: [sent('data.thread_id')],
      schedule: [scheduled('data.schedule_id')],
      webhook: [wireId('wh', webhook)],
      channel: [wireId('ch', channel)],
      notification: [told('data.0.id')],
      cursor: [told('next_cursor')],
      'redirect uri': [redirect('data.id')],
      'redirect url': [redirect('data.url')],
      pair: [`about:${marker}`],
      'practice mail': [kept('data.0.id'), sent('data.id')],
    },
  };
}

/** A digest of the application's rows by table; all tables that have a column `app`, and its own row. */
async function rowsOf(sql: Sql, app: number): Promise<Record<string, string>> {
  const tables = await sql<{ name: string }[]>`
    select c.relname as name from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'app' and not a.attisdropped
    where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace order by 1`;
  assert.ok(tables.length > 20, 'most tables belong to applications');
  const digests = tables.map(
    ({ name }) => sql`
      select ${name}::text as name, count(*) || ' ' || coalesce(md5(string_agg(t::text, ' ' order by t::text)), '') as rows
      from ${sql(name)} t where app = ${app}`,
  );
  const own = sql`select 'applications' as name, md5(t::text) as rows from applications t where serial = ${app}`;
  const found = await sql<{ name: string; rows: string }[]>`
    ${digests.reduce((query, digest) => sql`${query} union all ${digest}`, own)}`;
  return Object.fromEntries(found.map(({ name, rows }) => [name, rows]));
}
