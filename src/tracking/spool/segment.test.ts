import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeHit, type Hit, LONGEST_RECORD } from '../hit.ts';
import { Journal } from './journal.ts';
import { FRAME_HEADER_BYTES, HEADER_BYTES, scanSegment, sealFrame, segmentHeader, segmentNumber } from './segment.ts';

const identity = Buffer.alloc(28, 7);
identity[0] = 0x12;

function imageOf(frames: readonly number[]): { image: Buffer; number: number; ends: number[] } {
  const header = segmentHeader();
  const number = segmentNumber(header);
  assert.ok(number !== null);
  const image = Buffer.alloc(64 << 10);
  header.copy(image);
  const ends: number[] = [];
  let at = HEADER_BYTES;
  let agent = 0;
  for (const hits of frames) {
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + hits * LONGEST_RECORD);
    let end = FRAME_HEADER_BYTES;
    for (let i = 0; i < hits; i++) {
      const userAgent = `hit ${agent++}`;
      end = encodeHit(frame, end, { ...BASE, userAgent }, 1_700_000_000_000 + agent);
    }
    sealFrame(frame, end, number);
    frame.copy(image, at, 0, end);
    at += end;
    ends.push(at);
  }
  return { image, number, ends };
}

const BASE = { identity, method: 'GET', prefetch: false, acceptLanguage: false, secFetchMode: false, ip: '192.0.2.1' };
const FRAMES = [1, 3, 40, 1, 7, 100, 2];
const TOTAL = FRAMES.reduce((sum, hits) => sum + hits, 0);

async function drain(journal: Journal, max = 9): Promise<Hit[]> {
  const all: Hit[] = [];
  for (;;) {
    const { hits, upTo } = await journal.read(max);
    if (hits.length === 0) return all;
    assert.ok(hits.length <= max);
    all.push(...hits);
    await journal.done(upTo);
  }
}

test('a scan finds every hit and the end', () => {
  const { image, number, ends } = imageOf(FRAMES);
  assert.deepEqual(scanSegment(image, number), {
    end: ends.at(-1),
    hits: TOTAL,
    firstAt: 1_700_000_000_001,
    torn: false,
  });
  assert.deepEqual(scanSegment(image.subarray(0, ends[2]), number).hits, 44);
});

test('a frame of another segment is not taken for one of this', () => {
  const one = imageOf([2]);
  const two = imageOf([2]);
  two.image.copy(one.image, HEADER_BYTES, HEADER_BYTES);
  assert.equal(scanSegment(one.image, one.number).hits, 0);
});

test('no cut, flipped bit or zeroed block yields a hit that was not written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'segment-'));
  const { image, ends } = imageOf(FRAMES);
  const last = ends.at(-1) ?? 0;
  const images: [name: string, image: Buffer, sound: number][] = [];
  const soundBefore = (offset: number): number =>
    FRAMES.slice(0, ends.filter((end) => end <= offset).length).reduce((sum, hits) => sum + hits, 0);
  for (let i = 0; i < 250; i++) {
    const at = HEADER_BYTES + Math.floor(Math.random() * (last - HEADER_BYTES));
    images.push([`cut at ${at}`, image.subarray(0, at), soundBefore(at)]);
    const flipped = Buffer.from(image);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (i & 7));
    images.push([`bit ${i & 7} of ${at}`, flipped, soundBefore(at)]);
    const zeroed = Buffer.from(image);
    zeroed.fill(0, at, at + 1 + Math.floor(Math.random() * 600));
    if (!zeroed.equals(image)) images.push([`zeros at ${at}`, zeroed, soundBefore(at)]);
    const garbage = Buffer.from(image);
    for (let j = at; j < at + 64; j++) garbage[j] = Math.floor(Math.random() * 256);
    if (!garbage.equals(image)) images.push([`garbage at ${at}`, garbage, soundBefore(at)]);
  }
  try {
    for (const [name, bytes, sound] of images) {
      await writeFile(join(folder, '0000000001.seg'), bytes);
      const hits = await drain(await Journal.load(folder), 1000);
      assert.ok(hits.length >= sound && hits.length <= TOTAL, `${name}: ${hits.length} of at least ${sound}`);
      hits.forEach((hit, index) => {
        assert.equal(hit.userAgent, `hit ${index}`, name);
      });
      await rm(folder, { recursive: true });
      await mkdir(folder);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('a bad frame ends its segment, the next one is read all the same', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'segment-'));
  try {
    const bent = imageOf([2, 5, 3]);
    const byte = (bent.ends[0] ?? 0) + 30;
    bent.image[byte] = (bent.image[byte] ?? 0) ^ 4;
    await writeFile(join(folder, '0000000001.seg'), bent.image);
    await writeFile(join(folder, '0000000002.seg'), imageOf([4]).image);
    await writeFile(join(folder, '0000000003.seg'), Buffer.alloc(4096)); // made ready, never used
    await writeFile(join(folder, '0000000004.seg'), Buffer.alloc(4096, 0x41)); // not ours
    const journal = await Journal.load(folder);
    assert.equal(journal.pendingHits, 6);
    assert.equal(journal.damaged, 2);
    assert.deepEqual(
      (await drain(journal)).map(({ userAgent }) => userAgent),
      ['hit 0', 'hit 1', 'hit 0', 'hit 1', 'hit 2', 'hit 3'],
    );
    await journal.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
