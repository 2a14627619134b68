// What came to rest is delivered anew: it leaves the history and joins the queue, with a round of its own. What waits for
// its next attempt waits no longer.
import { lowestId } from '../db/partitions.ts';
import { retrying, type Sql, type Tx } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import type { DestinationStatus } from './destination-rules.ts';
import { hasten, type Target, WINDOW, WINDOWS } from './hastening.ts';

export interface ReplayDeps {
  readonly sql: Sql;
  /** Told once deliveries were queued or made due. */
  readonly onDeliveries?: (() => void) | undefined;
}

export const REST_STATES = ['held', 'exhausted', 'stopped', 'delivered'] as const;
export type RestState = (typeof REST_STATES)[number];
/** What a replay by time may be asked for. `pending`: those that wait for their next attempt. */
export const REPLAYABLE = ['pending', ...REST_STATES] as const;
export type Replayable = (typeof REPLAYABLE)[number];
/** What is replayed where nothing else is asked for. */
const UNDELIVERED = ['held', 'exhausted', 'stopped'] as const satisfies readonly RestState[];

export type ReplayOrder = TimeRange | Notifications;

/** By when the notifications were made, in Unix milliseconds: from `since` on, before `until`. */
export interface TimeRange {
  readonly since: number;
  readonly until?: number | undefined;
  readonly states?: readonly Replayable[] | undefined;
  readonly triggers?: readonly string[] | undefined;
  /** The `next` of an earlier answer: goes on behind it. */
  readonly after?: string | undefined;
}

/** These notifications, in whatever state they are. */
export interface Notifications {
  readonly ids: readonly string[];
}

export interface Replayed {
  readonly kind: 'replayed';
  /** Begun anew, or made due in the round they are in. */
  readonly queued: number;
  /** Cannot be made any more: what they tell of was erased, or its grant deleted. They stay where they are. */
  readonly gone: number;
  /** Of a list: those that were not queued, and why. */
  readonly left: readonly { readonly id: string; readonly why: 'under_way' | 'gone' | 'unknown' }[];
  /** The last notification looked at where there are more; null at the end. */
  readonly next: string | null;
}

export type Refusal =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'not_served'; readonly status: DestinationStatus };

export type Retried =
  | { readonly kind: 'queued' | 'due' | 'under_way' }
  | { readonly kind: 'no_delivery' | 'gone' }
  | Refusal;

/**
 * Queues deliveries of a destination anew, oldest first and due at once, in transactions of at most 5,000; a call looks
 * at 100,000. Those that wait for their next attempt are made due where they are asked for; those under way are left
 * alone. They keep the order of their notifications among themselves, and how fast they leave is up to the destination's
 * pace, as ever.
 */
export async function replay(
  deps: ReplayDeps,
  app: number,
  destinationId: string,
  order: ReplayOrder,
): Promise<Replayed | Refusal> {
  const { sql } = deps;
  // Waits for a fan-out that saw the destination paused: what it holds is to be found. Alone, as others wait for it.
  const entry = await retrying(() => transaction(sql, (tx) => enter(tx, app, destinationId, tx`for update`)));
  if ('kind' in entry) return entry;
  const { now } = entry;
  const target: Target = { app, destinationId, now };
  const answer = 'ids' in order ? await queueListed(sql, target, order.ids) : await queueRange(sql, target, order);
  if ('queued' in answer && answer.queued > 0) deps.onDeliveries?.();
  return answer;
}

/** One delivery now: begun anew where it rests, not waiting any longer where it is pending. */
export async function retryDelivery(
  deps: ReplayDeps,
  app: number,
  destinationId: string,
  notificationId: string,
): Promise<Retried> {
  const { sql } = deps;
  const retried = await retrying(() =>
    transaction(sql, async (tx): Promise<Retried> => {
      const entry = await enter(tx, app, destinationId);
      if ('kind' in entry) return entry;
      const target: Target = { app, destinationId, now: entry.now };
      const which: Fragment = tx`d.notification_id = ${notificationId}`;
      const hastened = await hasten(tx, target, tx`${which} and ${tellable(tx, app)}`);
      if (hastened.size > 0) return { kind: 'due' };
      const [left] = await leftOut(tx, target, [notificationId]);
      if (left !== undefined) return { kind: left.why === 'unknown' ? 'no_delivery' : left.why };
      await queue(tx, target, { which, states: REST_STATES });
      return { kind: 'queued' };
    }),
  );
  if (retried.kind === 'queued' || retried.kind === 'due') deps.onDeliveries?.();
  return retried;
}

type Fragment = ReturnType<Sql>;

const HIGHEST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/**
 * Locks the destination until the transaction ends: it is neither replayed, paused nor deleted meanwhile. By default
 * fan-out goes on.
 */
async function enter(
  tx: Tx,
  app: number,
  destinationId: string,
  lock: Fragment = tx`for no key update`,
): Promise<{ readonly now: Date } | Refusal> {
  const [row] = await tx<{ status: DestinationStatus; now: Date }[]>`
    select status, now() as now from destinations where app = ${app} and id = ${destinationId} ${lock}`;
  if (row === undefined) return { kind: 'unknown' };
  if (row.status === 'paused' || row.status === 'failed') return { kind: 'not_served', status: row.status };
  return { now: row.now };
}

async function queueRange(sql: Sql, target: Target, order: TimeRange): Promise<Replayed | Refusal> {
  const { app, destinationId } = target;
  let after = order.after ?? null;
  let [queued, gone] = [0, 0];
  for (let window = 0; window < WINDOWS; window++) {
    const step = await retrying(() =>
      transaction(sql, async (tx) => {
        const entry = await enter(tx, app, destinationId);
        return 'kind' in entry ? entry : await queueWindow(tx, target, { ...order, after: after ?? undefined });
      }),
    );
    // Paused in between: what was queued is queued, and waits.
    if ('kind' in step) return queued === 0 ? step : { kind: 'replayed', queued, gone, left: [], next: after };
    queued += step.queued;
    gone += step.gone;
    if (step.next === null) return { kind: 'replayed', queued, gone, left: [], next: null };
    after = step.next;
  }
  return { kind: 'replayed', queued, gone, left: [], next: after };
}

/** The first 5,000 rows of what is left of a range, whether they are wanted or not. */
async function queueWindow(
  tx: Tx,
  target: Target,
  { since, until, after, states = UNDELIVERED, triggers }: TimeRange,
): Promise<Pick<Replayed, 'queued' | 'gone' | 'next'>> {
  const first = lowestId(since);
  const from: Fragment = after === undefined || after < first ? tx`>= ${first}` : tx`> ${after}`;
  const end: Fragment = tx`< ${until === undefined ? HIGHEST_ID : lowestId(until)}`;
  const rests = REST_STATES.filter((state) => states.includes(state));
  const waits = states.includes('pending');
  const nth = (table: Fragment): Fragment => tx`(
    select d.notification_id from ${table}
    and d.app = ${target.app} and d.destination_id = ${target.destinationId}
    and d.notification_id ${from} and d.notification_id ${end}
    order by d.notification_id offset ${WINDOW - 1} limit 1)`;
  const none: Fragment = tx`null::uuid`;
  const [last] = await tx<{ id: string | null }[]>`
    select least(
      ${rests.length === 0 ? none : nth(tx`deliveries d where ${indexed(tx, rests)}`)},
      ${waits ? nth(tx`pending_deliveries d where true`) : none}) as id`;
  const next = last?.id ?? null;
  const which: Fragment = tx`d.notification_id ${from} and d.notification_id ${next === null ? end : tx`<= ${next}`}`;
  const ahead: Fragment = tx`d.next_attempt_at > ${target.now} and ${tellable(tx, target.app, triggers)}`;
  const hastened = waits ? (await hasten(tx, target, tx`${which} and ${ahead}`)).size : 0;
  const { queued, gone } = await queue(tx, target, { which, states: rests, triggers });
  return { queued: queued + hastened, gone, next };
}

async function queueListed(sql: Sql, target: Target, ids: readonly string[]): Promise<Replayed | Refusal> {
  return await retrying(() =>
    transaction(sql, async (tx) => {
      const entry = await enter(tx, target.app, target.destinationId);
      if ('kind' in entry) return entry;
      const which: Fragment = tx`d.notification_id = any(${[...ids]}::uuid[])`;
      const hastened = await hasten(tx, target, tx`${which} and ${tellable(tx, target.app)}`);
      const left = (await leftOut(tx, target, ids)).filter(({ id }) => !hastened.has(id));
      const { queued } = await queue(tx, target, { which, states: REST_STATES });
      const gone = left.filter(({ why }) => why === 'gone').length;
      return { kind: 'replayed', queued: queued + hastened.size, gone, left, next: null };
    }),
  );
}

/** Those of the notifications that cannot be queued, in the order given. By look-up, as `queue` does. */
async function leftOut(
  tx: Tx,
  { app, destinationId }: Target,
  ids: readonly string[],
): Promise<readonly Replayed['left'][number][]> {
  const ours: Fragment = tx`app = ${app} and destination_id = ${destinationId} and notification_id = asked.id`;
  const rows = await tx<Replayed['left'][number][]>`
    select asked.id, left_out.why
    from unnest(${[...ids]}::uuid[]) with ordinality as asked (id, at)
    cross join lateral (select case
      when (select true from pending_deliveries where ${ours}) is null
        and (select true from deliveries where ${ours}) is null then 'unknown'
      when ${told(tx, app, tx`asked.id`)} is null then 'gone'
      when (select true from pending_deliveries where ${ours}) then 'under_way' end as why) left_out
    where left_out.why is not null
    order by asked.at`;
  return [...rows];
}

/** A notification's trigger; null where it cannot be made any more, as delivery judges it (`contents.ts`). */
function told(tx: Tx, app: number, id: Fragment): Fragment {
  const message: Fragment = tx`from messages m where m.app = n.app and m.id = n.message_id`;
  return tx`(
    select n.trigger from notifications n
    where n.app = ${app} and n.id = ${id} and (n.message_id is null or (select true ${message}))
      and (select g.state from grants g where g.app = n.app and g.id = coalesce((select m.grant_id ${message}),
        case when n.trigger = 'message.created' and n.subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
          then n.subject::uuid end)) is distinct from 'deleted')`;
}

/** Whether that of a row `d` can be made, and is one of these. */
function tellable(tx: Tx, app: number, triggers?: readonly string[]): Fragment {
  const trigger = told(tx, app, tx`d.notification_id`);
  return triggers === undefined ? tx`${trigger} is not null` : tx`${trigger} = any(${[...triggers]}::text[])`;
}

/** As the partial index has those that were not delivered. */
function indexed(tx: Tx, states: readonly RestState[]): Fragment {
  return states.includes('delivered') ? tx`true` : tx`d.state <> 'delivered'`;
}

interface Choice {
  /** A condition on the notifications of `deliveries d`. */
  readonly which: Fragment;
  readonly states: readonly RestState[];
  readonly triggers?: readonly string[] | undefined;
}

/**
 * In the order in which settling locks them: first the queue's row, then the history's. A row that is pending besides
 * resting (held once, then told anew) stays in the history until its attempt is over. Row by row through the indexes,
 * in subqueries that no planner makes a join of: one that believes a table small would read all of it for each row.
 */
async function queue(
  tx: Tx,
  { app, destinationId, now }: Target,
  { which, states, triggers }: Choice,
): Promise<{ readonly queued: number; readonly gone: number }> {
  if (states.length === 0) return { queued: 0, gone: 0 };
  const [row] = await tx<{ queued: number; gone: number }[]>`
    with resting as materialized (
      select d.notification_id, d.round, ${told(tx, app, tx`d.notification_id`)} as told
      from deliveries d
      where d.app = ${app} and d.destination_id = ${destinationId} and ${which} and ${indexed(tx, states)}
        and d.state = any(${[...states]}::text[])
        and (
          select true from pending_deliveries p
          where p.app = d.app and p.destination_id = d.destination_id and p.notification_id = d.notification_id) is null
    ), wanted as materialized (
      select notification_id, round, told is null as gone from resting
      ${triggers === undefined ? tx`` : tx`where told = any(${[...triggers]}::text[])`}
    ), queued as (
      insert into pending_deliveries (app, destination_id, notification_id, round, next_attempt_at)
      select ${app}::integer, ${destinationId}::uuid, notification_id, least(round + 1, 32767), ${now}::timestamptz
      from wanted where not gone
      order by notification_id
      on conflict do nothing
      returning notification_id
    ), cleared as (
      delete from deliveries d
      where d.app = ${app} and d.destination_id = ${destinationId} and ${which}
        and d.notification_id = any(array(select notification_id from queued))
    )
    select (select count(*) from queued)::integer as queued,
      (select count(*) from wanted where gone)::integer as gone`;
  return row ?? { queued: 0, gone: 0 };
}
