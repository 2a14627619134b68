// The rows of `drafts` as a queue of mailboxes: `keep_at` says when one is to be made like its row. One under way is claimed
// for a while. A mailbox that cannot be used rests as a whole: each of its due drafts is claimed until it is due again.
import { dropBlobs } from '../db/blobs.ts';
import type { Query, Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { draftsAsSent, type Standing, standing } from './draft-rows.ts';
import type { Claims, Job } from './mailbox-rounds.ts';
import { blobsOf, mailFromText } from './stored-mail.ts';
import { limitFor } from './time-limit.ts';

export interface DueDraft extends Job {
  readonly app: number;
  readonly grantId: string;
  readonly id: string;
  /** As `mailToText` wrote it. */
  readonly text: string;
  readonly version: number;
  /** What stands in the mailbox as far as is known; 0: nothing. */
  readonly keptVersion: number;
  /** Deleted or sent. */
  readonly deleted: boolean;
  readonly messageId: string | null;
  readonly changedAt: Date;
  /** When it was changed: if it cannot be taken out of the mailbox now, it will not be. */
  readonly old: boolean;
  /** Whose claim it is, for one that ran out may be another's by now: its end as text, because a Date has no microseconds. */
  readonly claim: string;
  /** When it became due, likewise. */
  readonly dueAt: string;
}

const OLD_HOURS = 33;
/** What a try with large attachments may take besides. */
const LARGE_MS = limitFor(40 * 1024 * 1024, 0);
/** A draft may have 6 MB without its attachments. */
const ERASED_AT_ONCE = 10;
const ERASE_OF_LATE_MINUTES = 10;
/** Longer than between two looks at them. */
const WOKEN_WITHIN = { often: '1 minute', first: '4 hours' } as const;

/** Claims due drafts: one of a mailbox, none of a mailbox that is worked on or rests; those of new ones first. */
export async function claimDrafts(
  sql: Sql,
  { most, retries, like, claimMs }: Claims<DueDraft> & { readonly claimMs: number },
): Promise<DueDraft[]> {
  const here = like ? sql`and app = ${like.app} and grant_id = ${like.grantId}` : sql``;
  return await sql<DueDraft[]>`
    with mailboxes as (
      select distinct on (app, grant_id) app, grant_id, id, keep_attempts from drafts
      where keep_at <= now() and (claimed_until is null or claimed_until <= now()) ${here}
      order by app, grant_id, keep_attempts desc, random()
    ), free as (
      select *, row_number() over (partition by keep_attempts > 0 order by random()) as nth from mailboxes b
      where not exists (
        select from drafts o where o.app = b.app and o.grant_id = b.grant_id and o.claimed_until > now()
      )
    ), due as (
      select app, id from free where keep_attempts = 0 or nth <= ${retries}::integer
      order by keep_attempts > 0, nth limit ${most}
    )
    update drafts d set keep_attempts = least(d.keep_attempts + 1, 1000),
      claimed_until = clock_timestamp()
        + ${ms(sql, claimMs)} + case when d.attached and not d.deleted then ${ms(sql, LARGE_MS)} else interval '0' end
    from due
    -- No index is to help here: with old statistics all that is due would be read for each of them.
    where d.app = due.app and d.id = due.id and coalesce(d.keep_at, 'infinity') <= now()
      and (d.claimed_until is null or d.claimed_until <= now()) -- asked of the row anew where another was first
    returning d.app, d.grant_id as "grantId", d.id, d.mail as text, d.version, d.kept_version as "keptVersion", d.deleted,
      d.message_id as "messageId", d.updated_at as "changedAt", d.keep_attempts as attempts,
      d.updated_at < now() - ${OLD_HOURS} * interval '1 hour' as old,
      d.claimed_until::text as claim, d.keep_at::text as "dueAt"`;
}

/** The mailbox is like the row was when it was claimed; where that has changed since, it stays due. */
export async function settleKept(sql: Sql, draft: DueDraft): Promise<void> {
  await sql`
    update drafts set kept_version = ${draft.version}, keep_attempts = 0, claimed_until = null, keep_at = ${left(sql, draft)}
    where ${claimed(sql, draft)}`;
}

/** The mailbox will not have it: not before it changes again. */
export async function settleRefused(sql: Sql, draft: DueDraft): Promise<void> {
  await sql`
    update drafts set keep_attempts = 0, claimed_until = null, keep_at = ${left(sql, draft)} where ${claimed(sql, draft)}`;
}

/** This one alone is tried again later, or at once where it has changed since. */
export async function putOffDraft(sql: Sql, draft: DueDraft, waitMs: number, attempts = draft.attempts): Promise<void> {
  await sql`
    update drafts set claimed_until = null, keep_attempts = ${attempts},
      keep_at = case when keep_at::text = ${draft.dueAt} then now() + ${ms(sql, waitMs)} else keep_at end
    where ${claimed(sql, draft)}`;
}

/** Whatever is due in its mailbox now is due later. Drafts that are being sent have timers of their own. */
export async function restDrafts(sql: Sql, draft: DueDraft, waitMs: number, attempts = draft.attempts): Promise<void> {
  await sql`
    update drafts set keep_attempts = ${attempts}, claimed_until = now() + ${ms(sql, waitMs)},
      keep_at = now() + ${ms(sql, waitMs)}
    where app = ${draft.app} and grant_id = ${draft.grantId} and keep_at is not null
      and (message_id is null or deleted or id = ${draft.id})
      and (claimed_until is null or claimed_until <= now() or ${claimed(sql, draft)})`;
}

/** Ends the rest of mailboxes whose grants were authenticated, or otherwise changed, of late. */
export async function wakeDrafts(sql: Sql, how: keyof typeof WOKEN_WITHIN): Promise<void> {
  await sql`
    update drafts d set keep_at = now(), claimed_until = null from grants g
    where d.keep_at > now() and d.claimed_until = d.keep_at and g.app = d.app and g.id = d.grant_id
      and g.state = 'valid' and g.updated_at > now() - ${WOKEN_WITHIN[how]}::interval`;
}

export async function standingOf(sql: Query, { app, id }: DueDraft): Promise<Standing | null> {
  const [row] = await sql<{ standing: Standing }[]>`
    select ${standing(sql)} as standing from ${draftsAsSent(sql)} where d.app = ${app} and d.id = ${id}`;
  return row?.standing ?? null;
}

/** With its attachments. */
export async function eraseDraft(sql: Sql, { app, id }: DueDraft): Promise<void> {
  await transaction(sql, async (tx) => {
    const [row] = await tx<{ mail: string }[]>`delete from drafts where app = ${app} and id = ${id} returning mail`;
    if (row !== undefined) await dropBlobs(tx, app, blobsOf(mailFromText(row.mail)));
  });
}

/** Erases the drafts of grants that were deleted: in the last minutes, or ever. */
export async function eraseWithGrants(sql: Sql, which: 'of late' | 'all'): Promise<void> {
  // Lateral, or all drafts that there are would be read.
  const grants = await sql<{ app: number; id: string }[]>`
    select g.app, g.id from grants g
    cross join lateral (select from drafts d where d.app = g.app and d.grant_id = g.id limit 1) one
    where g.state = 'deleted'
      ${which === 'all' ? sql`` : sql`and g.deleted_at > now() - ${ERASE_OF_LATE_MINUTES} * interval '1 minute'`}`;
  for (const grant of grants) while ((await eraseSome(sql, grant)) === ERASED_AT_ONCE);
}

async function eraseSome(sql: Sql, grant: { readonly app: number; readonly id: string }): Promise<number> {
  return await transaction(sql, async (tx) => {
    const rows = await tx<{ app: number; mail: string | null }[]>`
      delete from drafts where (app, id) in (
        select app, id from drafts where app = ${grant.app} and grant_id = ${grant.id} limit ${ERASED_AT_ONCE})
      returning app, case when attached then mail end as mail`;
    for (const { app, mail } of rows) if (mail !== null) await dropBlobs(tx, app, blobsOf(mailFromText(mail)));
    return rows.length;
  });
}

function left(sql: Sql, { version, dueAt }: DueDraft) {
  return sql`case when version = ${version} and keep_at::text = ${dueAt} then null else keep_at end`;
}

function claimed(sql: Sql, { app, id, claim }: DueDraft) {
  return sql`(app = ${app} and id = ${id} and claimed_until::text = ${claim})`;
}

function ms(sql: Sql, value: number) {
  return sql`${value}::float8 * interval '1 millisecond'`;
}
