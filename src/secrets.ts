import { randomBytes } from 'node:crypto';
import { access, link, mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from './config.ts';
import { StartError } from './errors.ts';
import { generateSecret, type Keyring, KeyringProblem, parseKeyring } from './keyring.ts';

/**
 * The keyring: the setting, else `<data>/secret`, which is made when it is missing. Made only with the embedded
 * database: a second machine on a shared one would make another and its links would verify nowhere else.
 */
export async function loadKeyring(config: Config): Promise<Keyring> {
  if (config.secret !== null) return parseKeyring(config.secret);
  const file = join(config.dataDir, 'secret');
  // Made before the database is: where only the latter is there, a new secret would verify none of its links.
  if (!(await exists(file)) && (await exists(join(config.dataDir, 'postgres')))) {
    throw new StartError([
      `${file}: is missing, but the database beside it was used with one. Put it back from a backup, or set TELLTALE_SECRET to what it held.`,
    ]);
  }
  try {
    return parseKeyring(await readOrMake(file, generateSecret));
  } catch (error) {
    if (error instanceof KeyringProblem) throw new StartError([`${file}: ${error.message}`]);
    throw error;
  }
}

/** The first application's API key: the setting, else `<data>/api-key`, made when it is missing. */
export async function loadApiKey(config: Config): Promise<string> {
  return (
    config.apiKey ??
    (await readOrMake(join(config.dataDir, 'api-key'), () => `ttk_${randomBytes(32).toString('base64url')}`))
  );
}

/** Written whole, synced and then linked into place, so that of two processes both read what the first one made. */
async function readOrMake(file: string, make: () => string): Promise<string> {
  const known = await readFile(file, 'utf8').catch(nullIfMissing);
  if (known !== null) return known.trim();
  await mkdir(join(file, '..'), { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${make()}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await link(draft, file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await rm(draft);
  return (await readFile(file, 'utf8')).trim();
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function nullIfMissing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}
