// What the recorder stands on: an application, a grant, messages, and hits as the edge would have written them.
import { migrate } from '../../src/db/migrate.ts';
import { ensurePartitions } from '../../src/db/partitions.ts';
import type { Sql } from '../../src/db/pool.ts';
import { uuidTime, uuidv7 } from '../../src/ids.ts';
import type { Hit } from '../../src/tracking/hit.ts';
import type { SpoolReader } from '../../src/tracking/recorder.ts';

export interface Owner {
  readonly app: number;
  readonly grant: number;
}

export interface LedgerRow {
  readonly id: string;
  readonly message: string;
  readonly trigger: string;
  readonly sequence: number | null;
  readonly link: number | null;
  readonly at: Date;
  readonly class: string;
  readonly reasons: readonly string[];
}

export const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

export async function prepareLedger(sql: Sql): Promise<void> {
  await migrate(sql);
  await ensurePartitions(sql, Date.now());
}

export async function addOwner(sql: Sql, settings: Record<string, string | number> = {}): Promise<Owner> {
  const name = uuidv7();
  const [owner] = await sql<Owner[]>`
    with application as (
      insert into applications (id, name, environment, settings)
      values (${uuidv7()}, ${name}, 'production', ${sql.json(settings)}) returning serial
    )
    insert into grants (app, id, provider, email)
    select serial, ${uuidv7()}, 'practice', ${`${name}@shop.test`} from application
    returning app, serial as grant`;
  if (!owner) throw new Error('no owner');
  return owner;
}

/** Sent messages with this many tracked links each; their ids. */
export async function addMessages(
  sql: Sql,
  owner: Owner,
  count: number,
  links: number,
  ids: readonly string[] = Array.from({ length: count }, () => uuidv7()),
): Promise<string[]> {
  await sql`
    insert into messages (app, id, grant_id, state, opens, links, thread_replies, link_count, message_id, thread_id)
    select g.app, message.id, g.id, 'sent', true, true, false, ${links}::smallint, message.id || '@shop.test', message.id
    from grants g, unnest(${[...ids]}::uuid[]) as message (id) where g.serial = ${owner.grant}`;
  return [...ids];
}

/** An open, or with `link` a click, of now. */
export function makeHit(owner: Owner, message: string, more: Partial<Hit> = {}): Hit {
  const id = more.id ?? uuidv7(more.at?.getTime() ?? Date.now());
  return {
    id,
    at: new Date(uuidTime(id)),
    kind: more.link === undefined ? 'open' : 'click',
    ...owner,
    message,
    link: 0,
    method: 'GET',
    prefetch: false,
    acceptLanguage: true,
    secFetchMode: true,
    ip: '203.0.113.77',
    userAgent:
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15',
    ...more,
  };
}

/** Everything recorded of a message, in order of sequence; uncounted ones last. */
export async function ledgerOf(sql: Sql, message: string): Promise<LedgerRow[]> {
  const rows = await sql<LedgerRow[]>`
    select id, message_id as message, trigger::text, sequence, link_index as link, happened_at as at, class, reasons
    from events where message_id = ${message} order by events.trigger, sequence nulls last, id`;
  return [...rows];
}

/** A spool in memory: hits in the order given, the same ones until `done`, all of them again after a replay. */
export class MemorySpool implements SpoolReader<number> {
  readonly #hits: Hit[] = [];
  readonly #wakes: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #at = 0;

  append(...hits: readonly Hit[]): void {
    this.#hits.push(...hits);
    for (const wake of this.#wakes) wake();
  }

  /** Resolves when everything appended so far is done. */
  drained(): Promise<void> {
    if (this.#at === this.#hits.length) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async read(max: number): Promise<{ hits: Hit[]; upTo: number }> {
    const hits = this.#hits.slice(this.#at, this.#at + max);
    return { hits, upTo: this.#at + hits.length };
  }

  async done(upTo: number): Promise<void> {
    this.#at = upTo;
    if (this.#at === this.#hits.length) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async replayReleased(): Promise<void> {
    this.#at = 0;
  }

  onAppend(wake: () => void): void {
    this.#wakes.push(wake);
  }

  depth(): { oldest: Date | null } {
    return { oldest: this.#hits[this.#at]?.at ?? null };
  }
}
