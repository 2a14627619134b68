// What notify stands on, made with the rooms below it: an application, a grant, tracked messages and their events.
import assert from 'node:assert/strict';
import { migrate } from '../../src/db/migrate.ts';
import { ensurePartitions } from '../../src/db/partitions.ts';
import type { Connection, Sql } from '../../src/db/pool.ts';
import { createApplication } from '../../src/grants/applications.ts';
import { createPracticeGrant } from '../../src/grants/grants.ts';
import { makeVault, type Vault } from '../../src/grants/vault.ts';
import { type GrantId, uuidv7 } from '../../src/ids.ts';
import { generateSecret, parseKeyring } from '../../src/keyring.ts';
import { secretContext } from '../../src/notify/subscriptions.ts';
import { type Occurrence, record } from '../../src/tracking/events.ts';
import { reserve } from '../../src/tracking/messages.ts';
import { testDatabase } from './postgres.ts';

export interface NotifyGround {
  readonly sql: Sql;
  readonly connection: Connection;
  readonly vault: Vault;
  /** What the vault was made of, for another process. */
  readonly secret: string;
  readonly app: number;
  readonly applicationId: string;
  readonly grantId: GrantId;
  setting(name: string, value: string | number): Promise<void>;
  /** A sent message with these links; answers its id. */
  message(urls?: readonly string[], label?: string): Promise<string>;
  /** Records events as the recorder does, facts included. */
  happen(message: string, ...events: readonly Happening[]): Promise<void>;
  /** A destination without its challenge. */
  destination(url: string, changes?: DestinationChanges): Promise<{ readonly id: string; readonly secret: string }>;
  drop(): Promise<void>;
}

export interface Happening {
  /** Null for an open. */
  readonly link?: number;
  /** Unix milliseconds. */
  readonly at?: number;
  readonly ip?: string;
  readonly userAgent?: string;
}

export interface DestinationChanges {
  readonly triggers?: readonly string[];
  readonly status?: string;
  readonly compressed?: boolean;
}

export async function notifyGround(): Promise<NotifyGround> {
  const { sql, connection, drop } = await testDatabase(prepare);
  const secret = generateSecret();
  const ring = parseKeyring(secret);
  const vault = makeVault(ring);
  const application = await createApplication(sql, { name: 'shop', environment: 'production' });
  assert.ok(application);
  const grant = await createPracticeGrant({ sql, vault }, application.serial);
  const app = application.serial;
  await sql`delete from outbox`; // its grant's own fact, which no test asked for

  return {
    sql,
    connection,
    vault,
    secret,
    app,
    applicationId: application.id,
    grantId: grant.id,
    async setting(name, value) {
      await sql`update applications set settings = settings || ${sql.json({ [name]: value })} where serial = ${app}`;
    },
    async message(urls = [], label = '') {
      const id = uuidv7();
      const links = urls.map((url, index) => ({ index, url }));
      const reserved = await reserve(
        sql,
        {
          app,
          id,
          grantId: grant.id,
          label,
          opens: true,
          links: true,
          threadReplies: false,
          messageId: `<${id}@shop.test>`,
          threadId: id,
          ancestors: [],
          subject: 'Renewal',
          metadata: {},
        },
        links,
      );
      assert.equal(reserved, 'reserved');
      return id;
    },
    async happen(message, ...events) {
      const occurrences = events.map(
        ({ link, at = Date.now(), ip = '203.0.113.9', userAgent = 'Mozilla/5.0' }): Occurrence => ({
          id: uuidv7(),
          otherId: null,
          app,
          grant: grant.serial,
          message,
          trigger: link === undefined ? 'message.opened' : 'message.link_clicked',
          link: link ?? null,
          at: new Date(at),
          ip,
          userAgent,
          class: 'human',
          reasons: [],
          counts: true,
        }),
      );
      const { counted } = await sql.begin((tx) => record(tx, occurrences));
      assert.equal(counted, events.length);
    },
    async destination(
      url,
      { triggers = ['message.opened', 'message.link_clicked'], status = 'active', compressed = false } = {},
    ) {
      const id = uuidv7();
      const secret = `whsec_${Buffer.from(id).toString('base64')}`;
      await sql`
        insert into destinations (app, id, kind, address, triggers, status, secret, compressed)
        values (${app}, ${id}, 'webhook', ${url}, ${[...triggers]}, ${status},
          ${vault.seal(secret, secretContext(id))}, ${compressed})`;
      return { id, secret };
    },
    drop,
  };
}

async function prepare(sql: Sql): Promise<void> {
  await migrate(sql);
  await ensurePartitions(sql, Date.now());
}
