// Bytes that are too many for one statement, in chunks: reading and writing them takes the memory of a chunk.
import { createHash } from 'node:crypto';
import { uuidv7 } from '../ids.ts';
import type { Query } from './pool.ts';

export interface Blob {
  readonly id: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256, hex. */
  readonly hash: string;
}

/**
 * Whole lines of base64 (RFC 2045 section 6.8: 57 bytes each), and as the text that goes over the wire small enough for
 * V8's young generation: strings above 128 kB lie until a full collection, 80 MB of them for an upload of 25 MB.
 */
const CHUNK = 57 * 1024;
const READ_AT_ONCE = 4;
/** Longer than any request or hand-over that uses one. */
const KEPT_MINUTES = 120;
const SWEPT_AT_ONCE = 100;

/**
 * Writes them as they come, and keeps them for two hours; `holdBlobs` keeps them longer. What throws while it is read
 * from `source` is thrown on, and nothing stays.
 */
export async function putBlob(
  sql: Query,
  app: number,
  source: AsyncIterable<Buffer> | Iterable<Buffer>,
): Promise<Blob> {
  const id = uuidv7();
  const hash = createHash('sha256');
  let size = 0;
  let at = 0;
  await sql`
    insert into blobs (app, id, keep_until) values (${app}, ${id}, now() + ${KEPT_MINUTES}::float8 * interval '1 minute')`;
  try {
    for await (const chunk of chunked(source)) {
      hash.update(chunk);
      size += chunk.length;
      await sql`
        insert into blob_chunks (app, blob_id, at, bytes)
        values (${app}, ${id}, ${at}, decode(${chunk.toString('base64')}, 'base64'))`;
      at += 1;
    }
    const digest = hash.digest();
    await sql`update blobs set size = ${size}, hash = ${digest} where app = ${app} and id = ${id}`;
    return { id, size, hash: digest.toString('hex') };
  } catch (error) {
    await dropBlobs(sql, app, [id]).catch(() => {}); // else the sweep will
    throw error;
  }
}

/** Null for one that has gone, or is not written to its end. */
export async function findBlob(sql: Query, app: number, id: string): Promise<Blob | null> {
  const [row] = await sql<Blob[]>`
    select id, size, encode(hash, 'hex') as hash from blobs where app = ${app} and id = ${id} and size is not null`;
  return row ?? null;
}

/** In their order. Throws where the blob has gone, or goes meanwhile. */
export async function* readBlob(sql: Query, app: number, { id, size }: Blob): AsyncGenerator<Buffer> {
  for (let at = 0; at * CHUNK < size; at++) {
    const [row] = await sql<{ bytes: Buffer }[]>`
      select bytes from blob_chunks where app = ${app} and blob_id = ${id} and at = ${at}`;
    if (row === undefined) throw gone();
    yield row.bytes;
  }
}

/**
 * As lines of 76 characters of base64 with CRLF between them (RFC 2045 section 6.8), in pieces. Throws as `readBlob`. The
 * database encodes them, and they are passed on as they come: no strings are made of them here.
 */
export async function* readBlobInBase64(sql: Query, app: number, { id, size }: Blob): AsyncGenerator<Buffer> {
  const chunks = Math.ceil(size / CHUNK);
  for (let at = 0; at < chunks; at += READ_AT_ONCE) {
    const rows: Buffer[][] = await sql`
      select case at when 0 then '' else E'\\r\\n' end || replace(rtrim(encode(bytes, 'base64'), E'\\n'), E'\\n', E'\\r\\n')
      from blob_chunks where app = ${app} and blob_id = ${id} and at >= ${at} and at < ${at + READ_AT_ONCE} order by at`.raw();
    if (rows.length !== Math.min(READ_AT_ONCE, chunks - at)) throw gone();
    for (const [lines] of rows) if (lines !== undefined) yield lines;
  }
}

function gone(): Error {
  return new Error('stored bytes have gone');
}

/** Until they are dropped as often as they were held. False where one of them is not there any more. */
export async function holdBlobs(sql: Query, app: number, ids: readonly string[]): Promise<boolean> {
  if (ids.length === 0) return true;
  const held = await sql`
    update blobs set keep_until = null, holders = holders + 1
    where app = ${app} and id = any(${[...new Set(ids)]}::uuid[]) and size is not null returning id`;
  return held.length === new Set(ids).size;
}

/** By one of those who hold them, in the transaction in which it forgets them; the last one's are gone. */
export async function dropBlobs(sql: Query, app: number, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const named = sql`app = ${app} and id = any(${[...ids]}::uuid[])`;
  // In this order: of two that drop at once the later one waits for the earlier, and finds that it is the last.
  await sql`update blobs set holders = holders - 1 where ${named}`;
  await sql`delete from blobs where ${named} and holders <= 0`;
}

/** Those of them that nobody holds. */
export async function dropUnheld(sql: Query, app: number, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await sql`delete from blobs where app = ${app} and id = any(${[...ids]}::uuid[]) and keep_until is not null`;
}

/** Drops those that nobody held in time. Returns how many. */
export async function sweepBlobs(sql: Query): Promise<number> {
  let sum = 0;
  for (let dropped = SWEPT_AT_ONCE; dropped === SWEPT_AT_ONCE; sum += dropped) {
    const rows = await sql`
      delete from blobs where (app, id) in (
        select app, id from blobs where keep_until < now() order by keep_until limit ${SWEPT_AT_ONCE})
      and keep_until is not null -- asked again of one that was held meanwhile
      returning id`;
    dropped = rows.length;
  }
  return sum;
}

async function* chunked(source: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let length = 0;
  for await (const piece of source) {
    for (let from = 0; from < piece.length; ) {
      const part = piece.subarray(from, from + CHUNK - length);
      waiting.push(part);
      length += part.length;
      from += part.length;
      if (length === CHUNK) {
        yield Buffer.concat(waiting);
        waiting = [];
        length = 0;
      }
    }
  }
  if (length > 0) yield Buffer.concat(waiting);
}
