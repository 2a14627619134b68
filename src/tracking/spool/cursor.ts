import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where reading had come to: a frame of a segment, the records done in it and the hits done in the segment. */
export interface Cursor {
  readonly segment: string;
  readonly offset: number;
  readonly skip: number;
  readonly seen: number;
}

/** Null when there is none or it cannot be read: everything is then read again, which hit ids make harmless. */
export async function readCursor(folder: string): Promise<Cursor | null> {
  const text = await readFile(join(folder, 'cursor'), 'utf8').catch(() => '');
  const [segment, ...numbers] = text.split(' ');
  const [offset, skip, seen] = numbers.map(Number);
  if (segment === undefined || offset === undefined || skip === undefined || seen === undefined) return null;
  return [offset, skip, seen].every(Number.isSafeInteger) ? { segment, offset, skip, seen } : null;
}

export async function writeCursor(folder: string, cursor: Cursor): Promise<void> {
  const path = join(folder, 'cursor');
  await writeFile(`${path}.new`, `${cursor.segment} ${cursor.offset} ${cursor.skip} ${cursor.seen}`);
  await rename(`${path}.new`, path);
}
