import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import {
  type Blob,
  dropBlobs,
  dropUnheld,
  findBlob,
  holdBlobs,
  putBlob,
  readBlob,
  readBlobInBase64,
  sweepBlobs,
} from './blobs.ts';
import { migrate } from './migrate.ts';
import type { Sql } from './pool.ts';
import { transaction } from './transaction.ts';

const APP = 7;
const OTHER = 8;
const CHUNK = 57 * 1024;
const MB = 1024 * 1024;

let database: TestDatabase;
let sql: Sql;
before(async () => {
  database = await testDatabase(migrate);
  sql = database.sql;
});
afterEach(async () => {
  await sql`delete from blobs`;
});
after(async () => {
  await database.drop();
});

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function bytesOf(blob: Blob, app = APP): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBlob(sql, app, blob)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function* inPieces(bytes: Buffer, piece: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}

async function ids(): Promise<string[]> {
  return (await sql<{ id: string }[]>`select id from blobs order by id`).map(({ id }) => id);
}

async function chunkSizes(blob: Blob): Promise<number[]> {
  const rows = await sql<{ size: number }[]>`
    select length(bytes) as size from blob_chunks where blob_id = ${blob.id} order by at`;
  return rows.map(({ size }) => size);
}

const expire = async (id: string): Promise<unknown> =>
  await sql`update blobs set keep_until = now() - interval '1 second' where id = ${id} and keep_until is not null`;

describe('a blob', () => {
  for (const size of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1_000_003]) {
    it(`of ${size} bytes is read as it was written, however it comes`, async () => {
      const bytes = randomBytes(size);
      const full = Math.floor(size / CHUNK);
      for (const piece of [1000, CHUNK, CHUNK + 1, 700_000]) {
        const blob = await putBlob(sql, APP, inPieces(bytes, piece));
        assert.deepEqual({ ...blob, id: '' }, { id: '', size, hash: sha256(bytes) });
        assert.ok((await bytesOf(blob)).equals(bytes));
        assert.deepEqual(await findBlob(sql, APP, blob.id), blob);
        const rest = size % CHUNK;
        assert.deepEqual(await chunkSizes(blob), [...Array(full).fill(CHUNK), ...(rest > 0 ? [rest] : [])]);
      }
    });
  }

  it('may come in empty pieces, and one byte at a time', async () => {
    const blob = await putBlob(sql, APP, [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(0), Buffer.from('b')]);
    assert.equal((await bytesOf(blob)).toString(), 'ab');
  });

  it('is written beside another', async () => {
    const all = await Promise.all(
      Array.from({ length: 8 }, async (_, at) => {
        const bytes = randomBytes(300_000 + at);
        const blob = await putBlob(sql, APP, inPieces(bytes, 50_000));
        return (await bytesOf(blob)).equals(bytes) && blob.hash === sha256(bytes);
      }),
    );
    assert.deepEqual(all, Array(8).fill(true));
  });

  it('leaves nothing where its source fails midway', async () => {
    async function* failing(): AsyncGenerator<Buffer> {
      yield* inPieces(randomBytes(MB), 100_000);
      throw new Error('the caller hung up');
    }
    await assert.rejects(putBlob(sql, APP, failing()), /^Error: the caller hung up$/);
    assert.deepEqual(await ids(), []);
    const [row] = await sql`select count(*)::int as count from blob_chunks`;
    assert.equal(row?.count, 0);
  });

  it('is not there before it is written to its end', async () => {
    let found: Blob | null | undefined;
    let isHeld: boolean | undefined;
    async function* source(): AsyncGenerator<Buffer> {
      yield randomBytes(2 * CHUNK);
      const [id = ''] = await ids();
      found = await findBlob(sql, APP, id);
      isHeld = await holdBlobs(sql, APP, [id]);
    }
    await putBlob(sql, APP, source());
    assert.deepEqual([found, isHeld], [null, false]);
  });

  it('that goes while it is read is an error, never a shorter one', async () => {
    const blob = await putBlob(sql, APP, [randomBytes(3 * CHUNK)]);
    await assert.rejects(async () => {
      for await (const _ of readBlob(sql, APP, blob)) await dropBlobs(sql, APP, [blob.id]);
    }, /^Error: stored bytes have gone$/);
  });

  it('belongs to one application', async () => {
    const blob = await putBlob(sql, APP, [Buffer.from('mine')]);
    await assert.rejects(bytesOf(blob, OTHER), /stored bytes have gone/);
    assert.equal(await findBlob(sql, OTHER, blob.id), null);
    assert.equal(await holdBlobs(sql, OTHER, [blob.id]), false);
    await dropBlobs(sql, OTHER, [blob.id]);
    await dropUnheld(sql, OTHER, [blob.id]);
    assert.deepEqual(await ids(), [blob.id]);
  });

  for (const size of [0, 1, 56, 57, 58, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, 5 * CHUNK + 2, 1_000_003]) {
    it(`of ${size} bytes is read as the lines of its base64`, async () => {
      const bytes = randomBytes(size);
      const blob = await putBlob(sql, APP, [bytes]);
      const lines: Buffer[] = [];
      for await (const piece of readBlobInBase64(sql, APP, blob)) lines.push(piece);
      const expected = bytes.toString('base64').match(/.{1,76}/g) ?? [];
      assert.equal(Buffer.concat(lines).toString('latin1'), expected.join('\r\n'));
    });
  }

  it('that has gone has no lines', async () => {
    const blob = await putBlob(sql, APP, [randomBytes(6 * CHUNK)]);
    await assert.rejects(async () => {
      for await (const _ of readBlobInBase64(sql, APP, blob)) await dropBlobs(sql, APP, [blob.id]);
    }, /^Error: stored bytes have gone$/);
  });

  it('of 40 MB takes the memory of a few chunks, written and read', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const piece = randomBytes(64 * 1024);
    let most = 0;
    let looks = 0;
    const before = process.memoryUsage().arrayBuffers;
    const look = (): void => {
      looks += 1;
      if (looks % 32 !== 0) return;
      collect();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    };
    async function* source(): AsyncGenerator<Buffer> {
      for (let at = 0; at < (40 * MB) / piece.length; at++) {
        look();
        yield Buffer.from(piece);
      }
    }
    const blob = await putBlob(sql, APP, source());
    assert.equal(blob.size, 40 * MB);
    for await (const _ of readBlob(sql, APP, blob)) look();
    for await (const _ of readBlobInBase64(sql, APP, blob)) look();
    assert.ok(most < 20 * MB, `${Math.round(most / MB)} MB of buffers`);
  });
});

describe('keeping a blob', () => {
  const put = async (text: string): Promise<string> => (await putBlob(sql, APP, [Buffer.from(text)])).id;

  it('goes on for two hours, then it is swept', async () => {
    const old = await put('old');
    const young = await put('young');
    const [row] = await sql<{ minutes: number }[]>`
      select extract(epoch from keep_until - now()) / 60 as minutes from blobs where id = ${old}`;
    assert.ok(Math.abs(Number(row?.minutes) - 120) < 1);
    assert.equal(await sweepBlobs(sql), 0);
    await expire(old);
    assert.equal(await sweepBlobs(sql), 1);
    assert.deepEqual(await ids(), [young]);
    const [chunks] = await sql`select count(*)::int as count from blob_chunks`;
    assert.equal(chunks?.count, 1);
  });

  it('goes on for as long as it is held', async () => {
    const held = await put('held');
    assert.equal(await holdBlobs(sql, APP, [held, held]), true);
    await expire(held);
    assert.equal(await sweepBlobs(sql), 0);
    await dropBlobs(sql, APP, [held]);
    assert.deepEqual(await ids(), []);
  });

  it('goes on until the last of those who hold it lets go, also where they do at once', async () => {
    const id = await put('held');
    for (let at = 0; at < 8; at++) await holdBlobs(sql, APP, [id]);
    await Promise.all(Array.from({ length: 7 }, () => transaction(sql, (tx) => dropBlobs(tx, APP, [id]))));
    assert.deepEqual(await ids(), [id]);
    await dropBlobs(sql, APP, [id]);
    assert.deepEqual(await ids(), []);
    const other = await put('held');
    for (let at = 0; at < 8; at++) await holdBlobs(sql, APP, [other]);
    await Promise.all(Array.from({ length: 8 }, () => transaction(sql, (tx) => dropBlobs(tx, APP, [other]))));
    assert.deepEqual(await ids(), []);
  });

  it('is refused for one that has gone', async () => {
    const here = await put('here');
    const gone = await put('gone');
    await dropBlobs(sql, APP, [gone]);
    assert.equal(await holdBlobs(sql, APP, [here, gone]), false);
    assert.equal(await holdBlobs(sql, APP, []), true);
  });

  it('ends for those that nobody holds', async () => {
    const [held = '', first = '', second = '', other = ''] = await Promise.all(['a', 'b', 'c', 'd'].map(put));
    await holdBlobs(sql, APP, [held]);
    await dropUnheld(sql, APP, [held, first, second]);
    assert.deepEqual(await ids(), [held, other].sort());
    await dropUnheld(sql, APP, []);
    await dropBlobs(sql, APP, []);
    assert.equal((await ids()).length, 2);
  });

  it('ends for all whose time is over in one sweep', async () => {
    await sql`
      insert into blobs (app, id, size, keep_until)
      select ${APP}, gen_random_uuid(), at, now() + (at - 299.5) * interval '1 minute' from generate_series(1, 310) at`;
    assert.equal(await sweepBlobs(sql), 299);
    assert.equal((await ids()).length, 11);
    assert.equal(await sweepBlobs(sql), 0);
  });
});
