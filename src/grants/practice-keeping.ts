// How mails come into practice mailboxes, and how old ones leave them.
import PostalMime, { type Address } from 'postal-mime';
import { dropBlobs, putBlob } from '../db/blobs.ts';
import type { Query, Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { risingIds } from '../ids.ts';
import { headOf, type MailBytes, readBytes, sizeOf } from '../providers/mail-bytes.ts';
import type { DraftCopy } from '../providers/provider.ts';
import { tellArrival } from './practice-reading.ts';

export type PracticeFolder = 'SENT' | 'INBOX' | 'DRAFTS';

export interface PracticePerson {
  readonly name?: string;
  readonly email: string;
}

export interface PracticeLimits {
  readonly perGrant: number;
  readonly bytes: number;
}

export interface PracticeMailbox {
  readonly app: number;
  readonly grantId: string;
}

export interface PracticeKeeping {
  /** Returns its id. Throws `UnreadableMail`, and keeps nothing then. */
  keep(
    mailbox: PracticeMailbox,
    folder: 'SENT' | 'INBOX',
    raw: MailBytes,
    envelope: readonly string[],
  ): Promise<string>;
  /** Whether anything had to be done. Throws as `keep`. */
  keepDraft(mailbox: PracticeMailbox, draft: DraftCopy): Promise<boolean>;
}

const LIMITS: PracticeLimits = { perGrant: 1000, bytes: 200 * 1024 * 1024 };
/** The sum over all mailboxes is taken once per so much new mail: it reads the whole index. */
const SWEEP_BYTES = 8 * 1024 * 1024;

/** Keeps the newest mails of each grant and a bounded sum; the oldest go first. To be made once: it counts what it kept. */
export function practiceKeeping(sql: Sql, limits: PracticeLimits = LIMITS): PracticeKeeping {
  let sinceSweep = SWEEP_BYTES; // the first mail of a process sweeps
  const nextId = risingIds(); // also within a millisecond the oldest is to go first
  const sweep = async (kept: number): Promise<void> => {
    sinceSweep += kept;
    if (sinceSweep < Math.min(SWEEP_BYTES, limits.bytes)) return;
    sinceSweep = 0;
    await sql`
      delete from practice_messages where (app, id) in (
        select app, id from (
          select app, id, sum(size) over (order by id desc) as total from practice_messages) mail
        where total > ${limits.bytes})`;
  };

  return {
    async keep({ app, grantId }, folder, raw, envelope) {
      const id = nextId();
      const seen = await headersOf(headOf(raw));
      await withBytes(sql, app, raw, (bytes) =>
        transaction(sql, async (tx) => {
          await insert(tx, { app, grantId, id, folder, seen, envelope, size: sizeOf(raw) }, bytes(tx));
          await tx`
            delete from practice_messages where app = ${app} and grant_id = ${grantId} and id <= (
              select id from practice_messages where app = ${app} and grant_id = ${grantId}
              order by id desc offset ${limits.perGrant} limit 1)`;
        }),
      );
      tellArrival(grantId);
      await sweep(sizeOf(raw));
      return id;
    },

    async keepDraft({ app, grantId }, { draft, version }) {
      const drop = async (tx: Query, spared: string | null): Promise<boolean> => {
        const dropped = await tx`
          delete from practice_messages
          where app = ${app} and grant_id = ${grantId} and folder = 'DRAFTS' and starts_with(message_id, ${`<${draft}.`})
            and id is distinct from ${spared}
          returning id`;
        return dropped.length > 0;
      };
      if (version === null) return await drop(sql, null);
      const [there] = await sql<{ id: string }[]>`
        select id from practice_messages
        where app = ${app} and grant_id = ${grantId} and folder = 'DRAFTS' and message_id = ${version.messageId}
        order by id desc limit 1`;
      if (there !== undefined) return await drop(sql, there.id);
      const { raw } = version;
      const seen = await headersOf(headOf(raw));
      await withBytes(sql, app, raw, (bytes) =>
        transaction(sql, async (tx) => {
          await drop(tx, null);
          const id = nextId();
          const mail = { app, grantId, id, folder: 'DRAFTS', seen, envelope: [], size: sizeOf(raw) } as const;
          await insert(tx, mail, bytes(tx));
        }),
      );
      await sweep(sizeOf(raw));
      return true;
    },
  };
}

/** An expression for the bytes of the mail; those that are read piece by piece are put together in the database. */
async function withBytes<T>(
  sql: Sql,
  app: number,
  raw: MailBytes,
  work: (bytes: (tx: Query) => ReturnType<Query>) => Promise<T>,
): Promise<T> {
  if (Buffer.isBuffer(raw)) return await work((tx) => tx`${raw}::bytea`);
  const { id } = await putBlob(sql, app, readBytes(raw));
  try {
    return await work(
      (tx) => tx`
        (select string_agg(bytes, ''::bytea order by at) from blob_chunks where app = ${app} and blob_id = ${id})`,
    );
  } finally {
    await dropBlobs(sql, app, [id]).catch(() => {}); // else the sweep will
  }
}

interface NewMail extends PracticeMailbox {
  readonly id: string;
  readonly folder: PracticeFolder;
  readonly seen: Seen;
  readonly envelope: readonly string[];
  readonly size: number;
}

async function insert(
  tx: Query,
  { app, id, grantId, folder, seen, envelope, size }: NewMail,
  bytes: ReturnType<Query>,
): Promise<void> {
  await tx`
    insert into practice_messages (app, id, grant_id, folder, message_id, subject, sender, recipients, envelope, size, raw)
    values (${app}, ${id}, ${grantId}, ${folder}, ${seen.messageId}, ${seen.subject}, ${tx.json({ ...seen.from })},
      ${tx.json(seen.to.map((person) => ({ ...person })))}, ${[...envelope]}::text[], ${size}, ${bytes})`;
}

interface Seen {
  readonly messageId: string;
  readonly subject: string;
  readonly from: PracticePerson;
  readonly to: readonly PracticePerson[];
}

/** Reads the head alone: attachments cost nothing here. */
async function headersOf(raw: Buffer): Promise<Seen> {
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
