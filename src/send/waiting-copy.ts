import { findBlob, readBlob } from '../db/blobs.ts';
import type { Query } from '../db/pool.ts';
import { type MailBytes, wholeOf } from '../providers/mail-bytes.ts';

/** Where the bytes of a copy lie: one of them is null. */
export interface CopyRow {
  readonly app: number;
  readonly raw: Buffer | null;
  readonly blobId: string | null;
}

/** The sender's copy of a mail while it does not lie in Sent yet; null where none waits. */
export async function waitingCopy(sql: Query, app: number, message: string): Promise<Buffer | null> {
  const [row] = await sql<CopyRow[]>`
    select app, raw, blob_id as "blobId" from sent_copies where app = ${app} and message_id = ${message}`;
  const bytes = row === undefined ? null : await copyBytes(sql, row);
  return bytes === null ? null : await wholeOf(bytes);
}

/** Null where they have gone. */
export async function copyBytes(sql: Query, { app, raw, blobId }: CopyRow): Promise<MailBytes | null> {
  if (blobId === null) return raw;
  const blob = await findBlob(sql, app, blobId);
  if (blob === null) return null;
  for await (const head of readBlob(sql, app, blob))
    return { size: blob.size, head, read: () => readBlob(sql, app, blob) };
  return null;
}
