// What a changed API key, secret or public URL means for data that exists (docs/operations.md).
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePort, type Service, type ServiceOptions, startService } from '../support/service.ts';
import { sendTracked } from '../support/tracked-message.ts';

const FIRST = 'first-secret-of-the-ring';
const SECOND = 'second-secret-of-the-ring';

describe('changed settings', () => {
  let dataDir: string;
  let port: number;
  let service: Service | null = null;

  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'telltale-settings-'));
    port = await freePort();
  });
  after(async () => {
    await service?.stop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  });
  const restart = async (env: Record<string, string>, options: ServiceOptions = {}): Promise<Service> => {
    await service?.stop();
    service = await startService({ dataDir, port, env, ...options });
    return service;
  };
  const status = async (path: string, key: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${key}` } })).status;

  it('another TELLTALE_API_KEY ends the one set before, and no other key', async () => {
    const now = await restart({ TELLTALE_SECRET: FIRST, TELLTALE_API_KEY: 'key-number-one' });
    assert.equal(await status('/v3/applications', 'key-number-one'), 200);
    await restart({ TELLTALE_SECRET: FIRST, TELLTALE_API_KEY: 'key-number-two' });
    assert.equal(await status('/v3/applications', 'key-number-two'), 200);
    assert.equal(await status('/v3/applications', 'key-number-one'), 401);
    assert.ok(now);
  });

  it('a key added to TELLTALE_SECRET keeps old links working, and new ones use it', async () => {
    const old = await sendTracked(await restart({ TELLTALE_SECRET: `1:${FIRST}` }));
    const now = await restart({ TELLTALE_SECRET: `1:${FIRST},2:${SECOND}` });
    const fresh = await sendTracked(now);
    for (const { link } of [old, fresh]) {
      const answer = await fetch(now.url + link, { redirect: 'manual' });
      assert.equal(answer.headers.get('location'), 'https://example.com/demo');
    }
    const keyId = (link: string): number | undefined => Buffer.from(link.split('/')[2] ?? '', 'base64url')[1];
    assert.deepEqual([keyId(old.link), keyId(fresh.link)], [1, 2]);
  });

  for (const [what, secret] of [
    ['changed', `1:${SECOND},2:${FIRST}`],
    ['left out', `2:${SECOND}`],
  ] as const) {
    it(`a key ${what} stops the start, with the key's number and what to do`, async () => {
      await service?.stop();
      const refused = await startService({ dataDir, port, env: { TELLTALE_SECRET: secret }, wait: false });
      assert.equal(await refused.exited, 1);
      const said = refused.output() + refused.errors();
      assert.match(said, /key 1/);
      assert.ok(!said.includes(FIRST) && !said.includes(SECOND), 'no secret is printed');
      service = null;
    });
  }

  it('another public URL puts its origin into new mail, and old links still redirect', async () => {
    const ring = { TELLTALE_SECRET: `1:${FIRST},2:${SECOND}` };
    const old = await sendTracked(await restart(ring));
    const now = await restart({ ...ring, TELLTALE_PUBLIC_URL: `http://other.localhost:${port}` });
    const fresh = await sendTracked(now);
    assert.equal((await fetch(now.url + old.link, { redirect: 'manual' })).status, 302);
    const raw = await now
      .api('GET', '/practice/messages')
      .then((list) => now.api('GET', `/practice/messages/${list.at('data.0.id')}/raw`));
    assert.match(raw.text.replaceAll('=\r\n', ''), /http:\/\/other\.localhost:\d+\/c\//);
    assert.ok(fresh.link);
  });

  it('a damaged data/secret is told by its path', async () => {
    await service?.stop();
    service = null;
    const folder = await mkdtemp(join(tmpdir(), 'telltale-settings-'));
    try {
      await writeFile(join(folder, 'secret'), 'short');
      const refused = await startService({ dataDir: folder, wait: false });
      assert.equal(await refused.exited, 1);
      assert.match(refused.output() + refused.errors(), new RegExp(`${join(folder, 'secret')}: .*shorter`));
      assert.equal(await readFile(join(folder, 'secret'), 'utf8'), 'short');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('a lost data/secret is told, and no other is made in its place', async () => {
    await service?.stop();
    service = null;
    const folder = await mkdtemp(join(tmpdir(), 'telltale-settings-'));
    try {
      await (await startService({ dataDir: folder })).stop();
      await rm(join(folder, 'secret'));
      const refused = await startService({ dataDir: folder, wait: false });
      assert.equal(await refused.exited, 1);
      assert.match(refused.errors(), /secret: is missing, but the database beside it/);
      await assert.rejects(readFile(join(folder, 'secret')), { code: 'ENOENT' });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('several wrong settings are reported together, and nothing is started', async () => {
    const refused = await startService({
      wait: false,
      env: { TELLTALE_PUBLIC_URL: 'nowhere', TELLTALE_TRUSTED_PROXIES: 'all', TELLTALE_PRACTICE: 'perhaps' },
    });
    assert.equal(await refused.exited, 1);
    for (const name of ['TELLTALE_PUBLIC_URL', 'TELLTALE_TRUSTED_PROXIES', 'TELLTALE_PRACTICE']) {
      assert.match(refused.errors(), new RegExp(`${name}: `));
    }
    await rm(refused.dataDir, { recursive: true, force: true });
  });
});
