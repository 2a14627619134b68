// Everything that sends, in this process: a database, an application with key and practice grant, and the API on a port.
import { createServer } from 'node:http';
import { connectRoutes } from '../../src/api/connect.ts';
import { draftRoutes } from '../../src/api/drafts.ts';
import { grantRoutes } from '../../src/api/grants.ts';
import { messageRoutes } from '../../src/api/messages.ts';
import { practiceRoutes } from '../../src/api/practice.ts';
import { scheduleRoutes } from '../../src/api/schedules.ts';
import { createApi } from '../../src/api/server.ts';
import { threadRoutes } from '../../src/api/threads.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createApplication, type Environment } from '../../src/grants/applications.ts';
import { createPracticeGrant, type Grant } from '../../src/grants/grants.ts';
import { createKey } from '../../src/grants/keys.ts';
import { makeSenders } from '../../src/grants/senders.ts';
import { createSignInToken } from '../../src/grants/sign-in.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { makeLog } from '../../src/log.ts';
import { findKnownParent } from '../../src/replies/known-mail.ts';
import { makeLedger } from '../../src/send/ledger.ts';
import type { SendDeps } from '../../src/send/send.ts';
import { tokenKeys } from '../../src/tracking/token.ts';
import { type TestDatabase, testDatabase } from './postgres.ts';
import { testProviders } from './providers.ts';
import { type WatchedAnswers, watchAnswers } from './watched-answers.ts';

export const TRACKING_URL = 'https://track.example.test';

export interface Sender {
  readonly database: TestDatabase;
  readonly deps: SendDeps;
  readonly grant: Grant;
  readonly key: string;
  /** Origin of the API, on loopback. */
  readonly url: string;
  /** A one-time path that signs a browser in. */
  signInPath(): Promise<string>;
  /** Another application with its grant and key in the same database. */
  application(environment: Environment): Promise<{ readonly grant: Grant; readonly key: string }>;
  /** Calls with the application's key unless another is given; `key` '' sends none. */
  call(method: string, path: string, body?: unknown, key?: string): Promise<Called>;
  close(): Promise<void>;
}

export interface Called {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly bytes: Buffer;
  /** The value at a path such as `data.to.0.email`. */
  at(path: string): unknown;
}

export interface SenderOptions {
  /** Certificate authorities of mail servers, PEM. */
  readonly ca?: string;
}

export async function startSender(
  change: (deps: SendDeps) => SendDeps = (deps) => deps,
  options: SenderOptions = {},
): Promise<Sender> {
  const database = await testDatabase(migrate);
  const { sql } = database;
  const ring = parseKeyring('a secret for tests only');
  const vault = makeVault(ring);
  const log = makeLog('silent');
  const { providers, close } = testProviders({ sql, vault }, options.ca);
  const keys = tokenKeys(ring);
  const deps = change({
    sql,
    vault,
    log,
    providers,
    keys,
    trackingUrl: TRACKING_URL,
    loopback: false,
    senders: makeSenders(sql),
    findReceived: (app, grantId, reference) => findKnownParent(sql, app, grantId, reference),
    ledger: makeLedger({ sql, log }),
  });

  let answers: WatchedAnswers | null = null;
  const server = createServer((request, response) => answers?.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  const routes = [
    messageRoutes(deps),
    scheduleRoutes(deps),
    draftRoutes(deps),
    threadRoutes(deps),
    practiceRoutes(deps),
    connectRoutes(deps),
    grantRoutes(deps),
  ];
  const http = createApi({ sql, log, ring, publicUrl: url, routes });
  await http.ready();
  answers = watchAnswers(http);

  let count = 0;
  const application = async (environment: Environment): Promise<{ grant: Grant; key: string }> => {
    count += 1;
    const made = await createApplication(sql, { name: `application ${count}`, environment });
    if (made === null) throw new Error('the name is taken');
    const grant = await createPracticeGrant({ sql, vault }, made.serial);
    return { grant, key: (await createKey(sql, made.serial)).key };
  };
  const { grant, key } = await application('production');

  return {
    database,
    deps,
    grant,
    key,
    url,
    application,
    signInPath: async () => `/sign-in?token=${await createSignInToken(sql)}`,
    call: (method, path, body, withKey = key) => call(url, method, path, body, withKey),
    async close() {
      await http.close();
      await close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await database.drop();
      answers?.assertGood();
    },
  };
}

async function call(origin: string, method: string, path: string, body: unknown, key: string): Promise<Called> {
  const response = await fetch(origin + path, {
    method,
    headers: {
      ...(key !== '' && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const bytes = Buffer.from(await response.arrayBuffer());
  const text = bytes.toString('utf8');
  const json: unknown = response.headers.get('content-type') === 'application/json' ? JSON.parse(text) : undefined;
  const at = (where: string): unknown =>
    where.split('.').reduce<unknown>((inner, step) => Reflect.get(Object(inner), step), json);
  return { status: response.status, headers: response.headers, text, bytes, at };
}
