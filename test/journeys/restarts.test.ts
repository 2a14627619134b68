// A restart of the database in between is nobody's business; and a stop comes to its end in time, whatever is going on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startHitLoad } from '../support/hit-load.ts';
import { killHard } from '../support/process-tree.ts';
import { startReceiver } from '../support/receiver.ts';
import { eventually, freePort, startService } from '../support/service.ts';
import { sendTracked } from '../support/tracked-message.ts';

it('a call that meets a restarting database waits for it and is answered', async (t) => {
  const service = await startService();
  t.after(() => service.stop());
  const answers: number[] = [];
  for (let round = 0; round < 3; round++) {
    await eventually('the database is there', async () =>
      (await service.api('GET', '/v3/grants')).status === 200 ? true : undefined,
    );
    const pidFile = await readFile(join(service.dataDir, 'postgres', 'postmaster.pid'), 'utf8');
    killHard(Number(pidFile.split('\n')[0]));
    answers.push((await service.api('GET', '/v3/grants')).status);
    answers.push(
      (await service.api('PATCH', '/v3/applications', { tracking_settings: { open_dedupe_seconds: round } })).status,
    );
  }
  // On a machine so busy that the restart takes longer than a call waits, one of them may be a 503.
  assert.ok(answers.filter((status) => status === 200).length >= 4, String(answers));
  assert.ok(
    answers.every((status) => status === 200 || status === 503),
    String(answers),
  );
});

it('SIGTERM under load, with a receiver that never answers, ends cleanly within ten seconds and loses nothing', async (t) => {
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const service = await startService();
  const made = await service.api('POST', '/v3/webhooks', {
    trigger_types: ['message.opened', 'message.link_clicked'],
    webhook_url: receiver.url,
  });
  assert.equal(made.status, 200, made.text);
  receiver.behave(() => {}); // takes the delivery and says nothing
  const { pixel, link } = await sendTracked(service);
  const load = startHitLoad({ port: service.port, paths: [pixel, link], parallel: 32, pauseMs: 5 });
  await receiver.arrived(4);

  const began = Date.now();
  service.child.kill('SIGTERM');
  await eventually('it says that it is not ready', async () => {
    const status = await fetch(`${service.url}/ready`).then(
      (response) => response.status,
      () => 0,
    );
    return status !== 200 ? true : undefined;
  });
  const code = await service.exited;
  const took = Date.now() - began;
  await load.stop();
  assert.equal(code, 0, service.errors());
  assert.ok(took < 10_000, `${took} ms`);
  assert.deepEqual(load.wrong, [], 'the edge answers to the last');
  const events = service.log().map((line) => String(line.event));
  assert.ok(!events.includes('part.stop_failed'), service.errors());
});

it('SIGTERM to npm start stops the service, not only npm', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'telltale-npm-'));
  const port = await freePort();
  // Without the build before it, which would write the files this test runs from.
  const npm = spawn('npm', ['start', '--ignore-scripts'], {
    cwd: fileURLToPath(new URL('../../../', import.meta.url)),
    env: { ...process.env, PORT: String(port), TELLTALE_DATA_DIR: dataDir },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.after(() => rm(dataDir, { recursive: true, force: true, maxRetries: 20 }));
  let output = '';
  npm.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await eventually('it is ready', () => (output.includes('Telltale is ready') ? true : undefined), 30_000);
  const exited = new Promise<number | null>((resolve) => npm.once('close', resolve));
  npm.kill('SIGTERM');
  assert.equal(await exited, 0);
  await assert.rejects(fetch(`http://127.0.0.1:${port}/health`));
});

it('what /metrics shows stands in docs/operations.md', async (t) => {
  const service = await startService();
  t.after(() => service.stop());
  const text = await (await fetch(`${service.url}/metrics`)).text();
  const names = [...text.matchAll(/^# TYPE (\w+) /gm)].map((match) => match[1] ?? '');
  assert.ok(names.length > 10);
  const operations = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  for (const name of names) assert.match(operations, new RegExp(`\`${name}[\`{]`), name);
});
