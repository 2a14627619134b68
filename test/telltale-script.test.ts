import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = `
console.log(JSON.stringify(process.argv.slice(2)));
process.exitCode = Number(process.argv[2]);
`;

let folder: string;
let program: string;

/** A checkout with a one-file program in place of ours. */
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'telltale-script-'));
  program = join(folder, 'dist/src/cli.js');
  await mkdir(join(folder, 'scripts'));
  await mkdir(join(folder, 'src'));
  await cp(join(ROOT, 'scripts/telltale.mjs'), join(folder, 'scripts/telltale.mjs'));
  await cp(join(ROOT, 'tsconfig.json'), join(folder, 'tsconfig.json'));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"type": "module"}');
  await writeFile(join(folder, 'src/cli.ts'), PROGRAM);
});
after(async () => await rm(folder, { recursive: true, force: true }));

function run(...args: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const script = join(folder, 'scripts/telltale.mjs');
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', cwd: tmpdir() });
}

async function builtAt(): Promise<number> {
  return (await stat(program)).mtimeMs;
}

describe('npm run telltale', () => {
  it('builds what is not built yet, hands on the arguments and keeps the exit code', () => {
    const { status, stdout } = run('7', '--json', 'a b');
    assert.equal(stdout, '["7","--json","a b"]\n');
    assert.equal(status, 7);
  });

  it('builds again only when the source is newer', async () => {
    const before = await builtAt();
    assert.equal(run('0').status, 0);
    assert.equal(await builtAt(), before);
    const later = new Date(Date.now() + 2000);
    await utimes(join(folder, 'src/cli.ts'), later, later);
    assert.equal(run('0').status, 0);
    assert.notEqual(await builtAt(), before);
  });

  it('says on standard error what does not compile, and runs nothing', async () => {
    await writeFile(join(folder, 'src/cli.ts'), 'const x: number = "no";\n');
    const later = new Date(Date.now() + 60_000);
    await utimes(join(folder, 'src/cli.ts'), later, later);
    const { status, stdout, stderr } = run('0');
    assert.notEqual(status, 0);
    assert.equal(stdout, '');
    assert.match(stderr, /TS2322/);
    assert.notEqual(run('0').status, 0);
  });
});
