import type { Query } from '../db/pool.ts';
import { type Grant, type GrantRow, toGrant } from '../grants/grants.ts';
import { storedSettings, type TrackingSettings } from '../grants/settings.ts';
import type { WatchOrder } from '../providers/watch.ts';
import { openMessages } from '../tracking/threads.ts';
import type { Mailbox } from './leases.ts';

export interface WatchedGrant {
  readonly grant: Grant;
  readonly settings: TrackingSettings;
}

/** As they are now. Null where the grant is not valid, or gone. */
export async function readWatched(sql: Query, { app, grantId }: Mailbox): Promise<WatchedGrant | null> {
  const [row] = await sql<(GrantRow & { application_settings: unknown })[]>`
    select g.*, a.settings as application_settings from grants g join applications a on a.serial = g.app
    where g.app = ${app} and g.id = ${grantId} and g.state = 'valid'`;
  return row ? { grant: toGrant(row), settings: storedSettings(row.application_settings) } : null;
}

/** What is to be looked at in the mailbox: all since the oldest message that may still be answered. */
export async function orderFor(sql: Query, { grant, settings }: WatchedGrant): Promise<WatchOrder> {
  const { oldest } = await openMessages(sql, grant.app, grant.id, settings.replyWatchDays);
  const folders: unknown = Reflect.get(grant.settings, 'watch_folders');
  return {
    since: oldest ?? new Date(),
    folders: Array.isArray(folders) ? folders.filter((folder) => typeof folder === 'string') : [],
  };
}
