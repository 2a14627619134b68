import type { Sql } from '../db/pool.ts';
import { readGrantDetail } from '../grants/grant-facts.ts';
import { type RetrySchedule, storedSettings } from '../grants/settings.ts';
import { linkUrls, type RecentEvent, recents } from '../tracking/recents.ts';
import type { DestinationKind } from './destination.ts';
import type { NotificationState } from './payloads.ts';
import type { Claim } from './pending.ts';
import { isOfGrant, isTracking, type TrackingTrigger } from './triggers.ts';

/** A claim and all that is needed to try it. */
export interface Prepared {
  readonly claim: Claim;
  readonly kind: DestinationKind;
  readonly address: string;
  /** As the vault sealed it. */
  readonly sealedSecret: Buffer;
  readonly compressed: boolean;
  readonly schedule: RetrySchedule;
  /** Null where what it tells of is gone (erased, pruned) or unknown to this version. */
  readonly state: NotificationState | null;
}

interface Row {
  destination_id: string;
  notification_id: string;
  kind: DestinationKind;
  address: string;
  secret: Buffer;
  compressed: boolean;
  application_id: string;
  settings: unknown;
  trigger: string | null;
  message_id: string | null;
  sequence: number | null;
  subject: string | null;
  detail: unknown;
  link_counts: number[] | null;
  happened_at: Date;
  created_at: Date;
  grant_id: string | null;
  label: string;
}

/** Reads what the claims tell, once per notification. Claims whose destination was deleted meanwhile are left out. */
export async function prepare(sql: Sql, claims: readonly Claim[]): Promise<Prepared[]> {
  const rows = await sql<Row[]>`
    select d.id as destination_id, c.notification_id, d.kind, d.address, d.secret, d.compressed,
      a.id as application_id, a.settings,
      n.trigger, n.message_id, n.sequence, n.subject, n.detail, n.link_counts, n.happened_at, n.created_at,
      m.grant_id, m.label
    from unnest(
      ${claims.map((claim) => claim.app)}::integer[],
      ${claims.map((claim) => claim.destinationId)}::uuid[],
      ${claims.map((claim) => claim.notificationId)}::uuid[]
    ) as c (app, destination_id, notification_id)
    join destinations d on d.app = c.app and d.id = c.destination_id
    join applications a on a.serial = c.app
    left join notifications n on n.app = c.app and n.id = c.notification_id
    left join messages m on m.app = n.app and m.id = n.message_id`;
  const history = new Map<string, Promise<History>>();
  const byKey = new Map(rows.map((row) => [`${row.destination_id} ${row.notification_id}`, row]));
  const prepared = await Promise.all(
    claims.map(async (claim): Promise<Prepared | null> => {
      const row = byKey.get(`${claim.destinationId} ${claim.notificationId}`);
      if (row === undefined) return null;
      return {
        claim,
        kind: row.kind,
        address: row.address,
        sealedSecret: row.secret,
        compressed: row.compressed,
        schedule: storedSettings(row.settings).retrySchedule,
        state: await stateOf(sql, claim.app, row, history),
      };
    }),
  );
  return prepared.filter((one) => one !== null);
}

interface History {
  readonly links: readonly string[];
  readonly recents: readonly RecentEvent[];
}

async function stateOf(
  sql: Sql,
  app: number,
  row: Row,
  known: Map<string, Promise<History>>,
): Promise<NotificationState | null> {
  const { trigger, notification_id: id, created_at: createdAt, application_id: applicationId } = row;
  if (trigger === null) return null;
  if (isOfGrant(trigger)) {
    const detail = readGrantDetail(row.detail);
    if (row.subject === null || detail === null) return null;
    return { id, trigger, createdAt, applicationId, grantId: row.subject, detail };
  }
  const { grant_id: grantId, message_id: messageId, sequence } = row;
  if (grantId === null || messageId === null || sequence === null || !isTracking(trigger)) return null;
  const history = known.get(id) ?? readHistory(sql, app, { messageId, sequence, trigger });
  known.set(id, history);
  return {
    id,
    trigger,
    messageId,
    sequence,
    linkCounts: row.link_counts,
    happenedAt: row.happened_at,
    createdAt,
    applicationId,
    grantId,
    label: row.label,
    ...(await history),
  };
}

interface EventName {
  readonly messageId: string;
  readonly trigger: TrackingTrigger;
  readonly sequence: number;
}

async function readHistory(sql: Sql, app: number, { messageId, trigger, sequence }: EventName): Promise<History> {
  const [links, events] = await Promise.all([
    trigger === 'message.link_clicked' ? linkUrls(sql, app, messageId) : [],
    recents(sql, app, messageId, trigger, sequence),
  ]);
  return { links, recents: events };
}
