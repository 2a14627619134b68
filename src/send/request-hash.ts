import { createHash } from 'node:crypto';
import type { Attachment } from './compose.ts';

/** SHA-256 of what a request asks for: neither the order of an object's members nor white space makes a difference. */
export function requestHash(request: unknown, files: readonly Attachment[] = []): Buffer {
  const hash = createHash('sha256').update(canonical(request));
  for (const { content, ...file } of files) {
    const bytes = Buffer.isBuffer(content) ? createHash('sha256').update(content).digest('hex') : content.hash;
    hash.update(canonical({ ...file, bytes }));
  }
  return hash.digest();
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join()}}`;
}
