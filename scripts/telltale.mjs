// Runs the telltale command: builds first where the build is missing or older than the source. Exit code kept.
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const program = join(root, 'dist/src/cli.js');

function newest(folder) {
  const files = readdirSync(folder, { recursive: true }).map((file) => statSync(join(folder, file)));
  return Math.max(...files.filter((file) => file.isFile()).map((file) => file.mtimeMs));
}

function builtAt() {
  try {
    return newest(join(root, 'dist/src'));
  } catch {
    return 0;
  }
}

function run(command, args, stdio) {
  const { status, signal, error } = spawnSync(command, args, { stdio });
  if (error) throw error;
  return signal === null ? (status ?? 1) : 1;
}

const hasSource = readdirSync(root).includes('src');
const stale =
  hasSource && Math.max(newest(join(root, 'src')), statSync(join(root, 'tsconfig.json')).mtimeMs) > builtAt();
if (stale || !readdirSync(root).includes('dist')) {
  // Standard output belongs to the command: what the compiler says goes to standard error.
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const code = run(
    process.execPath,
    [compiler, '-p', join(root, 'tsconfig.json'), '--noEmitOnError'],
    ['ignore', 2, 2],
  );
  if (code !== 0) process.exit(code);
}
process.exitCode = run(process.execPath, [program, ...process.argv.slice(2)], 'inherit');
