// Notifications whose deliveries to a destination came to rest, written as the service would have left them.
import type { Query } from '../../src/db/pool.ts';
import { uuidv7 } from '../../src/ids.ts';
import type { NotifyGround } from './notify-ground.ts';

export interface Resting {
  /** Unix milliseconds at which the notification was made. */
  readonly at?: number;
  readonly trigger?: string;
  /** `held` by default. */
  readonly state?: 'delivered' | 'exhausted' | 'stopped' | 'held';
  readonly round?: number;
  readonly attempts?: number;
  /** A message of its own by default. */
  readonly message?: string;
}

/** Answers their notifications' ids, in the order given. */
export async function rest(
  ground: Pick<NotifyGround, 'app' | 'message'> & { readonly sql: Query },
  destinationId: string,
  all: readonly Resting[],
): Promise<string[]> {
  const { sql, app } = ground;
  const own = await ground.message();
  const rows = all.map((one) => ({ ...one, id: uuidv7(one.at) }));
  await sql`
    insert into notifications (app, id, trigger, message_id, sequence, happened_at)
    select ${app}::integer, id, trigger, message_id, 0, now()
    from unnest(
      ${rows.map(({ id }) => id)}::uuid[],
      ${rows.map(({ trigger = 'message.opened' }) => trigger)}::text[],
      ${rows.map(({ message = own }) => message)}::uuid[]
    ) as told (id, trigger, message_id)`;
  await sql`
    insert into deliveries (app, destination_id, notification_id, state, round, attempts)
    select ${app}::integer, ${destinationId}::uuid, id, state, round, attempts
    from unnest(
      ${rows.map(({ id }) => id)}::uuid[],
      ${rows.map(({ state = 'held' }) => state)}::text[],
      ${rows.map(({ round = 0 }) => round)}::smallint[],
      ${rows.map(({ attempts = 0 }) => attempts)}::smallint[]
    ) as resting (id, state, round, attempts)`;
  return rows.map(({ id }) => id);
}
