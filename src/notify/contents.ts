import type { Query } from '../db/pool.ts';
import { type RetrySchedule, storedSettings } from '../grants/settings.ts';
import { wireId } from '../ids.ts';
import type { Claim } from './claiming.ts';
import type { About, DestinationKind } from './destination.ts';
import { type NotificationState, typeOf } from './payloads.ts';
import { stillSigning } from './rotation.ts';
import { stateReader, type Told } from './states.ts';

/** A claim and all that is needed to try it. */
export interface Prepared {
  readonly claim: Claim;
  readonly kind: DestinationKind;
  readonly address: string;
  /** As the vault sealed them, newest first; none where the far end wants no signature. */
  readonly sealedSecrets: readonly Buffer[];
  readonly compressed: boolean;
  readonly schedule: RetrySchedule;
  /** Null where what it tells of is gone (erased, pruned, its grant deleted) or unknown to this version. */
  readonly state: NotificationState | null;
}

interface Row extends Told {
  destination_id: string;
  kind: DestinationKind;
  address: string;
  secret: Buffer | null;
  previous_secrets: unknown;
  compressed: boolean;
  settings: unknown;
}

/** Reads what the claims tell, once per notification. Claims whose destination was deleted meanwhile are left out. */
export async function prepare(sql: Query, claims: readonly Claim[], at: Date): Promise<Prepared[]> {
  const rows = await sql<Row[]>`
    select d.id as destination_id, c.notification_id, d.kind, d.address, d.secret, d.previous_secrets, d.compressed,
      a.id as application_id, a.settings,
      ${toldColumns(sql)}
    from unnest(
      ${claims.map((claim) => claim.app)}::integer[],
      ${claims.map((claim) => claim.destinationId)}::uuid[],
      ${claims.map((claim) => claim.notificationId)}::uuid[]
    ) as c (app, destination_id, notification_id)
    join destinations d on d.app = c.app and d.id = c.destination_id
    join applications a on a.serial = c.app
    left join notifications n on n.app = c.app and n.id = c.notification_id
    ${whatItTells(sql)}`;
  const stateOf = stateReader(sql);
  const byKey = new Map(rows.map((row) => [`${row.destination_id} ${row.notification_id}`, row]));
  const prepared = await Promise.all(
    claims.map(async (claim): Promise<Prepared | null> => {
      const row = byKey.get(`${claim.destinationId} ${claim.notificationId}`);
      if (row === undefined) return null;
      return {
        claim,
        kind: row.kind,
        address: row.address,
        sealedSecrets: row.secret === null ? [] : [row.secret, ...stillSigning(row.previous_secrets, at.getTime())],
        compressed: row.compressed,
        schedule: storedSettings(row.settings).retrySchedule,
        state: await stateOf(row, claim.app),
      };
    }),
  );
  return prepared.filter((one) => one !== null);
}

/** What one notification tells, whomever it goes to; null as in `Prepared`. */
export async function readState(sql: Query, app: number, id: string): Promise<NotificationState | null> {
  const [row] = await sql<Told[]>`
    select n.id as notification_id, a.id as application_id, ${toldColumns(sql)}
    from notifications n
    join applications a on a.serial = n.app
    ${whatItTells(sql)}
    where n.app = ${app} and n.id = ${id}`;
  return row === undefined ? null : await stateReader(sql)(row, app);
}

/** What far ends sort notifications by: replies go with the message they answer. */
export function aboutOf(state: NotificationState): About {
  const { applicationId, grantId } = state;
  return { trigger: typeOf(state), applicationId, grantId, messageId: messageOf(state) };
}

function messageOf(state: NotificationState): string | null {
  if ('messageId' in state) return wireId('msg', state.messageId);
  return state.trigger === 'message.created' ? state.detail.id : null;
}

/** Of a notification `n` and what it tells: `Told` without its ids. */
function toldColumns(sql: Query): ReturnType<Query> {
  return sql`n.trigger, n.message_id, n.sequence, n.subject, n.detail, n.link_counts, n.happened_at, n.created_at,
    m.grant_id, m.label, coalesce(g.state = 'deleted', false) as is_grant_deleted`;
}

/** Its message and the grant of that, or of mail that arrived; what is told of a grant itself outlives it. */
function whatItTells(sql: Query): ReturnType<Query> {
  return sql`
    left join messages m on m.app = n.app and m.id = n.message_id
    left join grants g on g.app = n.app and g.id = coalesce(m.grant_id,
      case when n.trigger = 'message.created' and n.subject ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        then n.subject::uuid end)`;
}
