// A first start in a checkout below a folder of mode 0700, as root and as an ordinary user; paste the curl command, sign in.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually, freePort } from '../support/service.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DIST = fileURLToPath(new URL('../../', import.meta.url));
const NOBODY = 65_534;
const BUILD_ONLY = ['@biomejs', 'typescript', '@typescript', 'playwright-core', 'nylas', '@types', 'parse5'];
const run = promisify(execFile);
const root = process.getuid?.() === 0;

describe('a first start under a folder of mode 0700', () => {
  it('as the user who runs the tests', () => firstRun(null));
  it('as an ordinary user', root ? {} : { skip: 'needs root to become another user' }, () => firstRun(NOBODY));
});

async function firstRun(uid: number | null): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'telltale-first-'));
  const checkout = join(folder, 'checkout');
  mkdirSync(checkout);
  try {
    copyCheckout(checkout);
    // The one that runs the tests may lie where the other user cannot reach it.
    const node = uid === null ? process.execPath : join(folder, 'node');
    if (uid !== null) {
      cpSync(process.execPath, node);
      own(folder, uid);
    }
    chmodSync(folder, 0o700);
    const port = await freePort();
    const child = spawn(node, [join(checkout, 'dist/src/main.js')], {
      cwd: checkout,
      env: { PATH: process.env.PATH ?? '', HOME: checkout, PORT: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(uid === null ? {} : { uid, gid: uid }),
    });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
    try {
      await eventually(
        'the curl command is printed',
        () => {
          if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}\n${output}\n${errors}`);
          return output.includes('curl ') ? true : undefined;
        },
        30_000,
      );
      assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200);

      const command = output.slice(output.indexOf('curl ')).replace(/\n\n[\s\S]*$/, '');
      const pasted = JSON.parse((await run('sh', ['-c', command])).stdout);
      assert.match(pasted.data.id, /^msg_/);

      const address = /http:\/\/\S+\/sign-in\?token=\S+/.exec(output)?.[0] ?? '';
      const signIn = await fetch(address, { redirect: 'manual' });
      assert.equal(signIn.status, 303);
      const cookie = signIn.headers.get('set-cookie') ?? '';
      assert.match(cookie, /HttpOnly/i);
      const page = await fetch(new URL(signIn.headers.get('location') ?? '', address), { headers: { cookie } });
      assert.equal(page.status, 200);
      assert.match(await page.text(), /<html/i);
      assert.notEqual((await fetch(address, { redirect: 'manual' })).status, 303, 'the token works once');

      for (const name of ['secret', 'api-key']) {
        assert.equal(statSync(join(checkout, 'data', name)).mode & 0o777, 0o600, name);
      }
    } finally {
      const began = Date.now();
      child.kill('SIGTERM');
      assert.equal(await exited, 0, errors);
      assert.ok(Date.now() - began < 10_000, 'stops within ten seconds');
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What `npm ci` and the build leave, without what only building and testing needs. */
function copyCheckout(checkout: string): void {
  for (const name of ['package.json', 'migrations', 'pages'])
    cpSync(join(ROOT, name), join(checkout, name), { recursive: true });
  cpSync(join(DIST, 'src'), join(checkout, 'dist/src'), { recursive: true });
  const modules = join(ROOT, 'node_modules');
  for (const name of readdirSync(modules)) {
    if (name.startsWith('.') || BUILD_ONLY.includes(name)) continue;
    // Symbolic links of the database's libraries stay links, as npm would leave them.
    cpSync(join(modules, name), join(checkout, 'node_modules', name), { recursive: true, verbatimSymlinks: true });
  }
}

function own(path: string, uid: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    if (entry.isDirectory()) own(join(path, entry.name), uid);
    else chownSync(join(path, entry.name), uid, uid);
  }
  chownSync(path, uid, uid);
}
