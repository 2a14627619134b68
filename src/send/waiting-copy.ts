// How the copy of a sent mail lies in its row: whole, or without its large attachments, which are blobs.
import { findBlob } from '../db/blobs.ts';
import type { Query } from '../db/pool.ts';
import { type MailBytes, wholeOf } from '../providers/mail-bytes.ts';
import { blobReader, type ComposedMail, mailOf } from './streamed-mail.ts';

/** An attachment that belongs into the bytes of its mail at this place. */
export interface Attached {
  readonly at: number;
  /** Id. */
  readonly blob: string;
}

export interface CopyRow {
  readonly app: number;
  readonly raw: Buffer;
  /** In the order of their places; null for none. */
  readonly attached: readonly Attached[] | null;
}

/** The sender's copy of a mail while it does not lie in Sent yet; null where none waits. */
export async function waitingCopy(sql: Query, app: number, message: string): Promise<Buffer | null> {
  const [row] = await sql<CopyRow[]>`
    select app, coalesce(raw, skeleton) as raw, attached from sent_copies where app = ${app} and message_id = ${message}`;
  const bytes = row === undefined ? null : await copyBytes(sql, row);
  return bytes === null ? null : await wholeOf(bytes);
}

/** Null where an attachment has gone. */
export async function copyBytes(sql: Query, { app, raw, attached }: CopyRow): Promise<MailBytes | null> {
  if (attached === null) return raw;
  const pieces: ComposedMail['pieces'][number][] = [];
  let from = 0;
  for (const { at, blob: id } of attached) {
    const blob = await findBlob(sql, app, id);
    if (blob === null) return null;
    pieces.push(raw.subarray(from, at), blob);
    from = at;
  }
  return mailOf([...pieces, raw.subarray(from)], blobReader(sql, app));
}

/** What `copyBytes` puts together again. */
export function takenApart(mail: Buffer | ComposedMail): { readonly skeleton: Buffer; readonly attached: Attached[] } {
  if (Buffer.isBuffer(mail)) return { skeleton: mail, attached: [] };
  const attached: Attached[] = [];
  const whole: Buffer[] = [];
  let at = 0;
  for (const piece of mail.pieces) {
    if (!Buffer.isBuffer(piece)) attached.push({ at, blob: piece.id });
    else {
      whole.push(piece);
      at += piece.length;
    }
  }
  return { skeleton: Buffer.concat(whole), attached };
}
