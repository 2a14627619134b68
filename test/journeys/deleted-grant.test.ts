// D12: a deleted grant's links and pixels stop at once, for good, and also for an edge that starts without its database.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { startEmbedded } from '../../src/db/embedded.ts';
import { makeLog } from '../../src/log.ts';
import { readLedger } from '../support/ledger.ts';
import { eventually, freePort, startService } from '../support/service.ts';
import { sendTracked, spoolIsEmpty } from '../support/tracked-message.ts';

it('stops, forwards when told to, and is remembered without a database', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'telltale-deleted-'));
  const server = await startEmbedded({ dataDir: join(folder, 'server'), log: makeLog('silent') });
  const { host, username, database } = server.connection;
  const options = {
    dataDir: join(folder, 'data'),
    port: await freePort(),
    env: {
      DATABASE_URL: `postgres:///${database}?host=${encodeURIComponent(host)}&user=${username}`,
      TELLTALE_SECRET: 'a-secret-for-deleted-grants',
    },
  };
  let service = await startService(options);
  t.after(async () => {
    await service.stop();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const visit = async (path: string): Promise<{ status: number; text: string; location: string | null }> => {
    const answer = await fetch(service.url + path, { redirect: 'manual' });
    return { status: answer.status, text: await answer.text(), location: answer.headers.get('location') };
  };

  const { pixel, link } = await sendTracked(service);
  assert.equal((await visit(link)).status, 302);
  await spoolIsEmpty(service);
  assert.equal((await service.api('DELETE', `/v3/grants/${service.grantId()}`)).status, 200);

  const stopped = await visit(link);
  assert.equal(stopped.status, 410, 'at once');
  assert.match(stopped.text, /href="https:\/\/example\.com\/demo"/, 'a reader is not stranded');
  assert.equal((await visit(pixel)).status, 200);
  await spoolIsEmpty(service);
  assert.equal((await readLedger(server.connection)).length, 1, 'only the click before it is counted');

  await server.stop();
  await service.stop();
  service = await startService({ ...options, wait: false });
  await eventually('the edge answers', () =>
    visit(link).then(
      () => true,
      () => undefined,
    ),
  );
  assert.equal((await visit(link)).status, 410, 'known from the copy on disk');
  assert.equal((await visit('/health')).status, 503);
  service.child.kill('SIGKILL');
  await service.exited;

  const again = await startEmbedded({ dataDir: join(folder, 'server'), log: makeLog('silent') });
  t.after(() => again.stop());
  service = await startService(options);
  await service.api('PATCH', '/v3/applications', { tracking_settings: { deleted_grant_links: 'forward' } });
  const forwarded = await eventually('the link forwards', async () => {
    const answer = await visit(link);
    return answer.status === 302 ? answer : undefined;
  });
  assert.equal(forwarded.location, 'https://example.com/demo');
  await spoolIsEmpty(service);
  assert.equal((await readLedger(again.connection)).length, 1, 'and still records nothing');
});
