import { randomBytes, timingSafeEqual } from 'node:crypto';
import PostalMime, { type Address } from 'postal-mime';
import type { Query, Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { type AppSerial, type GrantId, uuidv7, wireId } from '../ids.ts';
import type { PracticeStore } from '../providers/practice-store.ts';
import type { Account, PracticeCredentials } from '../providers/provider.ts';
import { openCredentials } from './credentials.ts';
import { type Grant, saveGrant } from './grants.ts';
import { practiceArrival, practiceReading, tellArrival } from './practice-reading.ts';
import type { Vault } from './vault.ts';

export type PracticeFolder = 'SENT' | 'INBOX';

export interface PracticePerson {
  readonly name?: string;
  readonly email: string;
}

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

export interface PracticeLimits {
  readonly perGrant: number;
  readonly bytes: number;
}

interface Deps {
  readonly sql: Sql;
  readonly vault: Vault;
  readonly limits?: PracticeLimits;
}

const LIMITS: PracticeLimits = { perGrant: 1000, bytes: 200 * 1024 * 1024 };
/** The sum over all mailboxes is taken once per so much new mail: it reads the whole index. */
const SWEEP_BYTES = 8 * 1024 * 1024;

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
  const keep = keeper(deps.sql, deps.limits ?? LIMITS);
  return {
    opens: (account, key) => opens(deps, account, key),
    keepSent: async (account, mail) =>
      wireId('prm', await keep(account.app, account.grantId, 'SENT', mail.raw, mail.envelope.to)),
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
  const keep = keeper(deps.sql, deps.limits ?? LIMITS);
  return (grant, raw) => keep(grant.app, grant.id, 'INBOX', raw, [grant.email]);
}

/** Newest first. `app` null: of all applications. */
export async function listPracticeMail(
  sql: Query,
  app: number | null,
  list: { readonly folder: PracticeFolder | null; readonly limit: number; readonly before?: string | undefined },
): Promise<PracticeMail[]> {
  return await sql<PracticeMail[]>`
    select ${columns(sql)} from practice_messages
    where true
      ${app === null ? sql`` : sql`and app = ${app}`}
      ${list.folder === null ? sql`` : sql`and folder = ${list.folder}`}
      ${list.before === undefined ? sql`` : sql`and id < ${list.before}`}
    order by id desc limit ${list.limit}`;
}

/** With its bytes, exactly as they were handed over. `app` null: of any application. */
export async function readPracticeMail(
  sql: Query,
  app: number | null,
  id: string,
): Promise<(PracticeMail & { readonly raw: Buffer }) | null> {
  const [row] = await sql<(PracticeMail & { readonly raw: Buffer })[]>`
    select ${columns(sql)}, raw from practice_messages
    where id = ${id} ${app === null ? sql`` : sql`and app = ${app}`}`;
  return row ?? null;
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

function keeper(sql: Sql, limits: PracticeLimits) {
  let sinceSweep = SWEEP_BYTES; // the first mail of a process sweeps
  return async (
    app: number,
    grantId: string,
    folder: PracticeFolder,
    raw: Buffer,
    envelope: readonly string[],
  ): Promise<string> => {
    const id = uuidv7();
    const seen = await headersOf(raw);
    await transaction(sql, async (tx) => {
      await tx`
        insert into practice_messages (app, id, grant_id, folder, message_id, subject, sender, recipients, envelope, size, raw)
        values (${app}, ${id}, ${grantId}, ${folder}, ${seen.messageId}, ${seen.subject}, ${tx.json({ ...seen.from })},
          ${tx.json(seen.to.map((person) => ({ ...person })))}, ${[...envelope]}::text[], ${raw.length}, ${raw})`;
      await tx`
        delete from practice_messages where app = ${app} and grant_id = ${grantId} and id <= (
          select id from practice_messages where app = ${app} and grant_id = ${grantId}
          order by id desc offset ${limits.perGrant} limit 1)`;
    });
    tellArrival(grantId);
    sinceSweep += raw.length;
    if (sinceSweep >= Math.min(SWEEP_BYTES, limits.bytes)) {
      sinceSweep = 0;
      await sql`
        delete from practice_messages where (app, id) in (
          select app, id from (
            select app, id, sum(size) over (order by id desc) as total from practice_messages) mail
          where total > ${limits.bytes})`;
    }
    return id;
  };
}

/** Reads the head alone: attachments cost nothing here. */
async function headersOf(
  raw: Buffer,
): Promise<{ messageId: string; subject: string; from: PracticePerson; to: PracticePerson[] }> {
  const end = raw.indexOf('\r\n\r\n');
  const mail = await PostalMime.parse(end < 0 ? raw : raw.subarray(0, end + 4));
  return {
    messageId: clean(mail.messageId ?? ''),
    subject: clean(mail.subject ?? ''),
    from: people(mail.from ? [mail.from] : [])[0] ?? { email: '' },
    to: people(mail.to ?? []),
  };
}

function people(addresses: readonly Address[]): PracticePerson[] {
  return addresses
    .flatMap((address) => address.group ?? [address])
    .map(({ name, address }) => ({ ...(name && { name: clean(name) }), email: clean(address) }));
}

/** PostgreSQL stores no NUL. */
function clean(text: string): string {
  return text.replaceAll('\0', '');
}

function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function columns(sql: Query) {
  return sql`app, id, grant_id as "grantId", folder, message_id as "messageId", subject, sender as "from",
    recipients as "to", envelope, size, received_at as "receivedAt"`;
}
