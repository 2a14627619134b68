// What nodes that watch mailboxes stand on: a database, an application, a scripted mail server, and as many nodes as wanted.
import { randomUUID } from 'node:crypto';
import { migrate } from '../../src/db/migrate.ts';
import { connect, type Sql } from '../../src/db/pool.ts';
import { transaction } from '../../src/db/transaction.ts';
import { createApplication } from '../../src/grants/applications.ts';
import { sealCredentials } from '../../src/grants/credentials.ts';
import { type Grant, saveGrant } from '../../src/grants/grants.ts';
import { makeVault } from '../../src/grants/vault.ts';
import type { GrantId } from '../../src/ids.ts';
import { parseKeyring } from '../../src/keyring.ts';
import type { ImapCredentials } from '../../src/providers/provider.ts';
import { fence, saveCursor } from '../../src/replies/leases.ts';
import type { SyncPage } from '../../src/replies/pages.ts';
import type { WatchTimes } from '../../src/replies/patience.ts';
import { type Replies, type RepliesDeps, startReplies } from '../../src/replies/start.ts';
import { type DatabaseGate, databaseGate } from './database-gate.ts';
import { type Logged, silentLog } from './logged.ts';
import { type TestDatabase, testDatabase } from './postgres.ts';
import { testProviders } from './providers.ts';
import { type ScriptedServer, scriptedServer } from './scripted-mailbox.ts';

export interface WatchGround {
  readonly database: TestDatabase;
  readonly sql: Sql;
  readonly app: number;
  readonly server: ScriptedServer;
  /** What was logged, by event. */
  readonly logged: Logged[];
  /** The nodes' way to the database; {@link sql} goes another one. */
  readonly gate: DatabaseGate;
  /** Valid grants of the imap provider with open mailboxes; their ids. */
  mailboxes(count: number): Promise<readonly GrantId[]>;
  /** As a user does who authenticates again. */
  authenticate(grantId: string, password: string): Promise<void>;
  node(options?: Partial<RepliesDeps>): TestNode;
  watches(): Promise<readonly WatchRow[]>;
  /** Subjects that were recorded, with the node that did. */
  seen(grantId?: string): Promise<readonly { readonly subject: string; readonly node: string }[]>;
  close(): Promise<void>;
}

export interface TestNode extends Replies {
  /** As if the process had been killed: nothing is written any more, and nothing said. */
  kill(): Promise<void>;
}

export interface WatchRow {
  readonly grantId: string;
  readonly node: string | null;
  readonly epoch: number;
  readonly cursor: unknown;
  readonly synced: Date | null;
  readonly failures: number;
  readonly problem: string | null;
}

/** A hundredth or so of what they are in earnest. */
export const SHORT: Partial<WatchTimes> = {
  beatMs: 100,
  deadMs: 500,
  lookMs: 50,
  longestLookMs: 200,
  sweepMs: 200,
  openMs: 1_000,
  nextMs: 1_000,
  syncMs: 2_000,
  goodLifeMs: 300,
  backOffScale: 0.02,
};

const SERVER = { host: 'imap.shop.test', port: 993, security: 'tls', user: 'nyla' } as const;

export async function watchGround(): Promise<WatchGround> {
  const database = await testDatabase(migrate);
  const { sql } = database;
  const vault = makeVault(parseKeyring('a secret long enough for tests'));
  const application = await createApplication(sql, { name: 'shop', environment: 'production' });
  if (application === null) throw new Error('no application');
  const app = application.serial;
  await sql`create table seen (id bigint generated always as identity, grant_id uuid, subject text, node uuid)`;
  const gate = await databaseGate(database.connection);
  const server = scriptedServer();
  const made = testProviders({ sql, vault });
  const providers = { ...made.providers, imap: server.provider };
  const { log, logged } = silentLog();
  const nodes: TestNode[] = [];

  const ground: WatchGround = {
    database,
    sql,
    app,
    server,
    logged,
    gate,
    async mailboxes(count) {
      const names = Array.from({ length: count }, () => `${randomUUID()}@shop.test`);
      const grants = await sql<{ id: GrantId }[]>`
        insert into grants (app, id, provider, email, settings)
        select ${app}, gen_random_uuid(), 'imap', email, ${sql.json({ imap_host: SERVER.host })}
        from unnest(${names}::text[]) as mailbox (email) returning id`;
      const ids = grants.map(({ id }) => id);
      const sealed = ids.map((id) => sealCredentials(vault, id, credentials('first')).toString('hex'));
      await sql`
        update grants g set credentials = decode(c.sealed, 'hex')
        from unnest(${ids}::uuid[], ${sealed}::text[]) as c (id, sealed) where g.app = ${app} and g.id = c.id`;
      await sql`
        insert into open_mailboxes (app, grant_id, active_at) select ${app}, id, now() from unnest(${ids}::uuid[]) as m (id)`;
      return ids;
    },
    async authenticate(grantId, password) {
      const [row] = await sql<Pick<Grant, 'email' | 'settings'>[]>`
        select email, settings from grants where app = ${app} and id = ${grantId}`;
      if (!row) throw new Error('no grant');
      await saveGrant({ sql, vault }, app, { ...row, provider: 'imap', credentials: credentials(password) });
    },
    node(options = {}) {
      const own = connect(gate.connection, { max: 6 });
      const heart = connect(gate.connection, { max: 1 });
      const deps = {
        sql: own,
        heartbeatSql: heart,
        vault,
        providers,
        log,
        syncPage: recordSubjects(own),
        times: SHORT,
      };
      const started = startReplies({ ...deps, ...options });
      const node: TestNode = {
        ...started,
        async stop() {
          await started.stop();
          await Promise.all([own.end({ timeout: 1 }), heart.end({ timeout: 1 })]);
        },
        async kill() {
          await Promise.all([own.end({ timeout: 0 }), heart.end({ timeout: 0 })]);
          await started.stop(); // nothing of it reaches the database
        },
      };
      nodes.push(node);
      return node;
    },
    async watches() {
      return await sql<WatchRow[]>`
        select grant_id as "grantId", node_id as node, epoch::float8 as epoch, cursor, synced_at as synced, failures, problem
        from watches order by grant_id`;
    },
    async seen(grantId) {
      return await sql<{ subject: string; node: string }[]>`
        select subject, node from seen where ${grantId === undefined ? sql`true` : sql`grant_id = ${grantId}`} order by id`;
    },
    async close() {
      await Promise.all(nodes.map((node) => node.stop()));
      await gate.close();
      await made.close();
      await database.drop();
    },
  };
  return ground;
}

/** What recording a page comes to here: its subjects, behind the fence, and the cursor. */
export function recordSubjects(sql: Sql): SyncPage {
  return async ({ lease, grant }, { mails, cursor, isLast }) => {
    const subjects = mails.map(({ head }) => head.subject);
    await transaction(sql, async (tx) => {
      await fence(tx, lease);
      await tx`
        insert into seen (grant_id, subject, node)
        select ${grant.id}, subject, ${lease.nodeId} from unnest(${subjects}::text[]) as mail (subject)`;
      await saveCursor(tx, lease, cursor, isLast);
    });
    return { classes: [] };
  };
}

function credentials(password: string): ImapCredentials {
  return { provider: 'imap', smtp: { ...SERVER, host: 'smtp.shop.test', password }, imap: { ...SERVER, password } };
}
