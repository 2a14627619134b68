// A mail that is sent later, as text for a `text` column: JSON escapes what PostgreSQL text cannot hold.
import { type Blob, dropBlobs, putBlob } from '../db/blobs.ts';
import type { Query } from '../db/pool.ts';
import type { Attachment } from './compose.ts';
import type { Outgoing } from './outgoing.ts';

export type StoredAttachment = Attachment & { readonly content: Blob };

export type StoredOutgoing = Omit<Outgoing, 'attachments'> & { readonly attachments: readonly StoredAttachment[] };

/** Nothing is lost, not even a NUL or half an emoji. */
export function mailToText(mail: StoredOutgoing): string {
  return JSON.stringify({ mail });
}

/** Throws for text that `mailToText` did not write. */
export function mailFromText(text: string): StoredOutgoing {
  const { mail }: { mail?: StoredOutgoing } = JSON.parse(text);
  if (!Array.isArray(mail?.attachments)) throw new Error('this is no stored mail');
  return mail;
}

/** The same mail with every attachment as a blob. Those made here are not held; where one fails they are dropped again. */
export async function withStoredAttachments(sql: Query, app: number, mail: Outgoing): Promise<StoredOutgoing> {
  const attachments: StoredAttachment[] = [];
  const made: string[] = [];
  try {
    for (const { content, ...attachment } of mail.attachments) {
      if (Buffer.isBuffer(content)) {
        const blob = await putBlob(sql, app, [content]);
        made.push(blob.id);
        attachments.push({ ...attachment, content: blob });
      } else attachments.push({ ...attachment, content });
    }
  } catch (error) {
    await dropBlobs(sql, app, made).catch(() => {}); // else the sweep will
    throw error;
  }
  return { ...mail, attachments };
}

/** Ids. */
export function blobsOf({ attachments }: StoredOutgoing): string[] {
  return attachments.map(({ content }) => content.id);
}
