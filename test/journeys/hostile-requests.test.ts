// No single request ends the process, and no log that cannot be written does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, freePort, startService } from '../support/service.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const TARGETS = [
  '//',
  '///',
  '//:80',
  '//x',
  '/%',
  '/%00',
  '*',
  'http://[',
  'http://:99999/',
  'http://x/O/y',
  '/C/x',
  '/O/x.gif',
  '/c/',
  '/o/',
  '/..',
  '/\\',
  '/?',
  '/v3//',
  '/v3/grants/%FF',
  '/v3/grants/%',
  '/sign-in?token=%',
  '/ready?role=%',
  '/metrics?%',
  '/practice/messages/%2e%2e',
  `/${'a'.repeat(9000)}`,
  `/c/${'A'.repeat(5000)}`,
];

it('odd targets with any method are answered, each within seconds, and the service lives', async (t) => {
  const service = await startService();
  t.after(() => service.stop());
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'OPTIONS', 'DELETE', 'TRACE', 'PROPFIND']) {
    for (const target of TARGETS) {
      const answer = await ask(service.port, `${method} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 [2345]\d\d /, `${method} ${target.slice(0, 60)}: ${answer.slice(0, 100)}`);
    }
  }
  assert.equal((await fetch(`${service.url}/health`)).status, 200);
  assert.equal((await service.api('GET', '//v3/grants')).status, 200, 'an apiUri with a slash at its end');
});

it('a log that cannot be written stops nobody', {
  skip: process.platform !== 'linux' && 'needs /dev/full',
}, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'telltale-full-log-'));
  const port = await freePort();
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH ?? '', PORT: String(port), TELLTALE_DATA_DIR: dataDir, TELLTALE_LOG_LEVEL: 'debug' },
    stdio: ['ignore', full, full],
  });
  try {
    await eventually(
      'it is ready',
      async () =>
        (await fetch(`http://127.0.0.1:${port}/health`).then(
          ({ status }) => status,
          () => 0,
        )) === 200
          ? true
          : undefined,
      30_000,
    );
    assert.equal((await fetch(`http://127.0.0.1:${port}/o/x.gif`)).status, 200);
    assert.equal((await fetch(`http://127.0.0.1:${port}/v3/grants`)).status, 401);
  } finally {
    const exited = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  }
});

function ask(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'));
    let answer = '';
    const timer = setTimeout(() => socket.destroy(new Error(`no answer to ${request.slice(0, 80)}`)), 5000);
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
    socket.once('error', reject);
  });
}
