// What deliveries are made of: a database that syncs, an application with messages, their events and destinations.
import type { Connection, Sql } from '../../src/db/pool.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { uuidv7 } from '../../src/ids.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { fanOut } from '../../src/notify/fanout.ts';
import { makeSecret } from '../../src/notify/sign.ts';
import { secretContext } from '../../src/notify/subscriptions.ts';
import { startRecorder } from '../../src/tracking/recorder.ts';
import { durableDatabase } from '../../test/support/postgres.ts';
import {
  addMessages,
  addOwner,
  MemorySpool,
  makeHit,
  type Owner,
  prepareLedger,
  QUIET,
} from '../../test/support/recording.ts';
import { SECRET } from './requests.ts';

export interface DeliveryGround {
  readonly sql: Sql;
  readonly connection: Connection;
  readonly owner: Owner;
  /** Active, without a challenge; its id. */
  destination(url: string): Promise<string>;
  messages(count: number): Promise<string[]>;
  /** Events over as many messages, the opens of all before their clicks; recorded, and told to nobody yet. */
  happen(count: number, messages: readonly string[]): Promise<void>;
  /** Makes the deliveries of this many facts; they are due at once. */
  queue(facts: number): Promise<void>;
  drop(): Promise<void>;
}

const LINKS = 2;

export async function deliveryGround(): Promise<DeliveryGround> {
  const { sql, connection, drop } = await durableDatabase(prepareLedger);
  const owner = await addOwner(sql);
  const vault = makeVault(parseKeyring(SECRET));
  return {
    sql,
    connection,
    owner,
    async destination(url) {
      const id = uuidv7();
      await sql`
        insert into destinations (app, id, kind, address, triggers, status, secret)
        values (${owner.app}, ${id}, 'webhook', ${url}, ${['message.opened', 'message.link_clicked']}, 'active',
          ${vault.seal(makeSecret(), secretContext(id))})`;
      return id;
    },
    async messages(count) {
      const ids = await addMessages(sql, owner, count, LINKS);
      await sql`
        insert into links (app, message_id, link_index, url)
        select ${owner.app}, id, link, 'https://shop.example.com/item/' || link || '?utm_source=mail&utm_medium=email'
        from unnest(${ids}::uuid[]) as message (id), generate_series(0, ${LINKS - 1}) as link`;
      return ids;
    },
    async happen(count, messages) {
      const spool = new MemorySpool();
      for (let made = 0; made < count; made++) {
        const pass = Math.floor(made / messages.length);
        const message = messages[made % messages.length] ?? '';
        spool.append(makeHit(owner, message, pass % 2 === 0 ? {} : { link: (pass >> 1) % LINKS }));
      }
      const recorder = startRecorder({ sql, spool, wake() {}, log: QUIET });
      await spool.drained();
      await recorder.stop();
    },
    async queue(facts) {
      for (let told = 0; told < facts; ) {
        const done = await fanOut({ sql, log: QUIET, now: Date.now() }, Math.min(500, facts - told));
        if (done.facts === 0) throw new Error(`only ${told} of ${facts} facts`);
        told += done.facts;
      }
    },
    drop,
  };
}
