// What replies are told on: a whole service over a database that syncs, mailboxes in a Dovecot, open messages and a receiver.
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Sql } from '../../src/db/pool.ts';
import { firstApplication } from '../../src/grants/applications.ts';
import { type Grant, saveGrant } from '../../src/grants/grants.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { uuidv7, wireId } from '../../src/ids.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { pixelUrl, tokenKeys } from '../../src/tracking/token.ts';
import { durableDatabase, throwAwayFolder } from '../../test/support/postgres.ts';
import { prepareLedger } from '../../test/support/recording.ts';
import { eventually, type Service, startService } from '../../test/support/service.ts';
import type { DovecotForMany } from './dovecot-for-many.ts';
import type { Original } from './incoming-mail.ts';
import { SECRET } from './requests.ts';

export interface OpenMessage extends Original {
  /** As the wire has it. */
  readonly id: string;
  /** As it stands in the mail. */
  readonly pixel: string;
}

export interface RepliesGround {
  readonly sql: Sql;
  /** When each tracked message was first told to have been answered, by its wire id; Unix milliseconds. */
  readonly told: ReadonlyMap<string, number>;
  /** How many `thread.replied` came in all. */
  notifications(): number;
  start(env?: Record<string, string>): Promise<Service>;
  /** A grant for a mailbox, as connecting makes it; `port`: where its IMAP server is found. */
  mailbox(address: string, port: number): Promise<Grant>;
  /** Sent just now, replies watched for. */
  openMessages(grants: readonly Grant[], countEach: number): Promise<ReadonlyMap<string, readonly OpenMessage[]>>;
  /** Resolves with the seconds until so many mailboxes were read to their end at a moment after `since`. */
  watched(count: number, since: Date, withinMs: number): Promise<number>;
  close(): Promise<void>;
}

const TRACKING_URL = 'http://mail.example.test';

export async function repliesGround(dovecot: DovecotForMany, security: 'tls' | 'starttls'): Promise<RepliesGround> {
  const { sql, connection, drop } = await durableDatabase(prepareLedger);
  if (typeof connection === 'string') throw new Error('no socket');
  const ring = parseKeyring(SECRET);
  const vault = makeVault(ring);
  const { application } = await firstApplication(sql);
  const app = application.serial;
  const told = new Map<string, number>();
  let notifications = 0;
  const receiver = createServer((request, response) => {
    const at = Date.now();
    const challenge = new URL(request.url ?? '/', 'http://x').searchParams.get('challenge');
    if (challenge !== null) return void response.end(challenge);
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      response.end();
      const root = /"root_message_id":"([^"]+)"/.exec(body)?.[1];
      if (root === undefined) return;
      notifications++;
      if (!told.has(root)) told.set(root, at);
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const address = receiver.address();
  const hook = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`;
  const dataDir = await throwAwayFolder();
  return {
    sql,
    told,
    notifications: () => notifications,
    async start(env = {}) {
      const service = await startService({
        dataDir,
        env: {
          DATABASE_URL: `postgres:///${connection.database}?host=${connection.host}&port=${connection.port}&user=${connection.username}`,
          TELLTALE_SECRET: SECRET,
          TELLTALE_API_KEY: 'the-key-of-this-bench',
          TELLTALE_PUBLIC_URL: TRACKING_URL,
          TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
          TELLTALE_MAIL_CA_FILE: dovecot.caFile,
          ...env,
        },
      });
      const hooks = await service.api('GET', '/v3/webhooks');
      if (hooks.at('data.0.id') === undefined) {
        const made = await service.api('POST', '/v3/webhooks', {
          trigger_types: ['thread.replied'],
          webhook_url: hook,
        });
        if (made.status !== 200) throw new Error(made.text);
      }
      return service;
    },
    async mailbox(email, port) {
      const imap = { host: '127.0.0.1', port, security, user: email, password: dovecot.password };
      const { grant } = await saveGrant({ sql, vault }, app, {
        provider: 'imap',
        email,
        settings: { imap_host: imap.host, imap_port: port, imap_security: security, imap_username: email },
        credentials: { provider: 'imap', imap, smtp: { ...imap, port: 9 } }, // nothing is sent
      });
      return grant;
    },
    async openMessages(grants, countEach) {
      const keys = tokenKeys(ring);
      const made = new Map<string, OpenMessage[]>();
      const rows: { id: string; grant: string; header: string; subject: string }[] = [];
      for (const grant of grants) {
        const messages = Array.from({ length: countEach }, (_, index): OpenMessage => {
          const uuid = uuidv7();
          const [header, subject] = [`<${randomUUID()}@example.test>`, `Renewal ${index}`];
          rows.push({ id: uuid, grant: grant.id, header, subject });
          const pixel = pixelUrl(keys, TRACKING_URL, { app, grant: grant.serial, message: uuid });
          return { id: wireId('msg', uuid), messageId: header, subject, pixel };
        });
        made.set(grant.email, messages);
      }
      await sql`
        insert into messages (app, id, grant_id, state, opens, links, thread_replies, message_id, thread_id, subject)
        select ${app}::integer, id, grant_id, 'sent', true, true, true, header, thread, subject
        from unnest(${rows.map(({ id }) => id)}::uuid[], ${rows.map(({ grant }) => grant)}::uuid[],
          ${rows.map(({ header }) => header)}::text[], ${rows.map(({ id }) => wireId('thr', id))}::text[],
          ${rows.map(({ subject }) => subject)}::text[]) as message (id, grant_id, header, thread, subject)`;
      await sql`
        insert into open_mailboxes (app, grant_id, active_at)
        select ${app}::integer, id, now() from unnest(${grants.map(({ id }) => id)}::uuid[]) as g (id)
        on conflict (app, grant_id) do update set active_at = excluded.active_at`;
      return made;
    },
    async watched(count, since, withinMs) {
      const began = performance.now();
      await eventually(
        `${count} mailboxes are read to their end`,
        async () => {
          const [row] = await sql<{ done: number }[]>`
            select count(*)::integer as done from watches where synced_at > ${since}`;
          return (row?.done ?? 0) >= count ? true : new Promise<undefined>((next) => setTimeout(next, 50, undefined));
        },
        withinMs,
      );
      return (performance.now() - began) / 1000;
    },
    async close() {
      receiver.closeAllConnections();
      receiver.close();
      await drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
