// What stays the same of a mail wherever it lies and however often it is met.
import { createHash } from 'node:crypto';
import type { FoundMail } from '../providers/watch.ts';

/** RFC 5322 section 2.1.1: no line is longer. */
const LONGEST = 998;

/** 32 bytes, from the Message-ID; for a mail without one from what else tells it from others. */
export function markOf({ head, size }: Pick<FoundMail, 'head' | 'size'>): Buffer {
  const id = head.messageId === null ? null : normalId(head.messageId);
  if (id !== null) return sha256(id);
  const { writtenAt, from, subject } = head;
  return sha256(JSON.stringify([writtenAt?.getTime() ?? null, from.map(({ email }) => email), subject, size]));
}

/** The mark of the mail with this Message-ID. */
export function messageIdMark(id: string): Buffer {
  return sha256(normalId(id) ?? id);
}

/**
 * A Message-ID as it is compared: in angle brackets, without the white space that folding left, its domain in lower case.
 * What stands before the `@` stays: in ids of Gmail and Exchange case is all that tells two from each other. Null: no id
 * that anything could answer.
 */
export function normalId(text: string): string | null {
  if (text.length > 2 * LONGEST) return null;
  const [, bare = ''] = /^<*([^<>]*)>*$/.exec(text.replace(/\s+/g, '')) ?? [];
  if (bare === '' || bare.length > LONGEST || /\p{Cc}/u.test(bare)) return null;
  const at = bare.lastIndexOf('@');
  const domain = at < 0 ? '' : bare.slice(at).toLowerCase();
  return `<${at < 0 ? bare : bare.slice(0, at)}${domain}>`.toWellFormed();
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
