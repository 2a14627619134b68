// The files that Dovecot and Postfix want to find before they start.
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { MailboxOwner } from './dovecot.ts';
import { type DovecotConfig, dovecotConf, NOBODY, oauth2Conf, userLine } from './dovecot-config.ts';
import { mainCf, masterCf, type PostfixConfig, QUEUE } from './postfix-config.ts';

const run = promisify(execFile);

/** A self-signed one for localhost, which is its own authority; returned as PEM. */
export async function writeCertificate(folder: string): Promise<string> {
  await mkdir(join(folder, 'tls'));
  const [key, cert] = [join(folder, 'tls/key.pem'), join(folder, 'tls/cert.pem')];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  await run('openssl', ['req', '-x509', ...newKey, '-days', '2', ...names, '-keyout', key, '-out', cert]);
  return await readFile(cert, 'utf8');
}

/** In one step: the file is read again at the next sign-in. */
export async function writeUsers(folder: string, owners: ReadonlyMap<string, MailboxOwner>): Promise<void> {
  const lines = [...owners].map(([address, owner]) => userLine(folder, address, owner));
  await writeFile(join(folder, 'users.new'), lines.join(''));
  await rename(join(folder, 'users.new'), join(folder, 'users'));
}

export async function writeDovecot(config: DovecotConfig): Promise<void> {
  const { folder, introspectionUrl } = config;
  for (const name of ['run', 'state', 'mail']) await mkdir(join(folder, name));
  await run('chown', [`${NOBODY}:${NOBODY}`, join(folder, 'mail')]);
  await writeFile(join(folder, 'dovecot.conf'), dovecotConf(config));
  if (introspectionUrl !== null) await writeFile(join(folder, 'oauth2.conf'), oauth2Conf(introspectionUrl));
}

export async function writePostfix(config: PostfixConfig): Promise<void> {
  const home = join(config.folder, 'pf');
  for (const name of ['etc', 'data', 'spool']) await mkdir(join(home, name), { recursive: true });
  await run('chown', ['postfix', join(home, 'data')]);
  for (const { owner, mode, names } of QUEUE) {
    const paths = names.map((name) => join(home, 'spool', name));
    for (const path of paths) await mkdir(path);
    await run('chown', [owner, ...paths]);
    for (const path of paths) await chmod(path, mode);
  }
  // Postfix waits until main.cf is two seconds old, as it might be written still.
  const aMinuteAgo = new Date(Date.now() - 60_000);
  for (const [name, text] of [
    ['main.cf', mainCf(config)],
    ['master.cf', masterCf(config)],
  ] as const) {
    await writeFile(join(home, 'etc', name), text);
    await utimes(join(home, 'etc', name), aMinuteAgo, aMinuteAgo);
  }
}
