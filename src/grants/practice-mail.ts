import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { Query, Sql } from '../db/pool.ts';
import { type AppSerial, type GrantId, wireId } from '../ids.ts';
import type { PracticeStore } from '../providers/practice-store.ts';
import type { Account, PracticeCredentials } from '../providers/provider.ts';
import { openCredentials } from './credentials.ts';
import { type Grant, saveGrant } from './grants.ts';
import { type PracticeFolder, type PracticeLimits, type PracticePerson, practiceKeeping } from './practice-keeping.ts';
import { practiceArrival, practiceBytes, practiceReading } from './practice-reading.ts';
import type { Vault } from './vault.ts';

export type { PracticeFolder, PracticeLimits, PracticePerson };

export interface PracticeMail {
  readonly app: AppSerial;
  readonly id: string;
  readonly grantId: GrantId;
  readonly folder: PracticeFolder;
  readonly messageId: string;
  readonly subject: string;
  readonly from: PracticePerson;
  readonly to: readonly PracticePerson[];
  /** Everyone it was sent to, Bcc included. */
  readonly envelope: readonly string[];
  /** Bytes. */
  readonly size: number;
  readonly receivedAt: Date;
}

interface Deps {
  readonly sql: Sql;
  readonly vault: Vault;
  readonly limits?: PracticeLimits;
}

/** Makes a practice grant, or authenticates the one of this address again; either way with a new key. */
export async function openPracticeGrant(
  deps: { readonly sql: Sql; readonly vault: Pick<Vault, 'seal'> },
  app: number,
  owner: { readonly email: string; readonly name?: string },
): Promise<{ readonly grant: Grant; readonly created: boolean }> {
  const credentials: PracticeCredentials = { provider: 'practice', key: randomBytes(32).toString('base64url') };
  return await saveGrant(deps, app, { ...owner, provider: 'practice', credentials });
}

/** The store below the practice provider. Keeps the newest mails of each grant and a bounded sum; the oldest go first. */
export function practiceStore(deps: Deps): PracticeStore {
  const { keep, keepDraft } = practiceKeeping(deps.sql, deps.limits);
  return {
    opens: (account, key) => opens(deps, account, key),
    keepSent: async (account, mail) => wireId('prm', await keep(account, 'SENT', mail.raw, mail.envelope.to)),
    keepDraft,
    findSent: async (account, messageId) => {
      const mail = await findPracticeMail(deps.sql, account.app, account.grantId, messageId);
      return mail === null ? null : wireId('prm', mail.id);
    },
    ...practiceReading(deps.sql),
    arrival: ({ grantId }, ms, signal) => practiceArrival(grantId, ms, signal),
  };
}

/** Puts a mail into the INBOX of a practice grant and returns its id. To be made once: it counts what it kept. */
export function practiceInbox(
  deps: Pick<Deps, 'sql' | 'limits'>,
): (grant: Pick<Grant, 'app' | 'id' | 'email'>, raw: Buffer) => Promise<string> {
  const { keep } = practiceKeeping(deps.sql, deps.limits);
  return (grant, raw) => keep({ app: grant.app, grantId: grant.id }, 'INBOX', raw, [grant.email]);
}

/** Newest first. `app` null: of all applications; `folder` null: all that was sent and received. */
export async function listPracticeMail(
  sql: Query,
  app: number | null,
  list: { readonly folder: PracticeFolder | null; readonly limit: number; readonly before?: string | undefined },
): Promise<PracticeMail[]> {
  return await sql<PracticeMail[]>`
    select ${columns(sql)} from practice_messages
    where true
      ${app === null ? sql`` : sql`and app = ${app}`}
      ${list.folder === null ? sql`and folder <> 'DRAFTS'` : sql`and folder = ${list.folder}`}
      ${list.before === undefined ? sql`` : sql`and id < ${list.before}`}
    order by id desc limit ${list.limit}`;
}

/** With its bytes, exactly as they were handed over. `app` null: of any application. */
export async function readPracticeMail(
  sql: Query,
  app: number | null,
  id: string,
): Promise<(PracticeMail & { readonly raw: Buffer }) | null> {
  const [row] = await sql<PracticeMail[]>`
    select ${columns(sql)} from practice_messages
    where id = ${id} ${app === null ? sql`` : sql`and app = ${app}`}`;
  const raw = row === undefined ? null : await practiceBytes(sql, row.app, row);
  return row === undefined || raw === null ? null : { ...row, raw };
}

/** The newest sent mail with this Message-ID. */
export async function findPracticeMail(
  sql: Query,
  app: number,
  grantId: string,
  messageId: string,
): Promise<PracticeMail | null> {
  const [row] = await sql<PracticeMail[]>`
    select ${columns(sql)} from practice_messages
    where app = ${app} and grant_id = ${grantId} and message_id = ${messageId} and folder = 'SENT'
    order by id desc limit 1`;
  return row ?? null;
}

async function opens(deps: Deps, account: Account, key: string): Promise<boolean> {
  const [row] = await deps.sql<{ app: AppSerial; id: GrantId }[]>`
    select app, id from grants
    where app = ${account.app} and id = ${account.grantId} and provider = 'practice' and state = 'valid'`;
  const stored = row ? await openCredentials(deps, row.app, row.id) : null;
  return stored?.provider === 'practice' && sameText(stored.key, key);
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function columns(sql: Query) {
  return sql`app, id, grant_id as "grantId", folder, message_id as "messageId", subject, sender as "from",
    recipients as "to", envelope, size, received_at as "receivedAt"`;
}
