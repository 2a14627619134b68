// What running mail servers are doing, and what can be done to them besides speaking IMAP and SMTP.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { descendants } from './process-tree.ts';

const run = promisify(execFile);

/** The titles of their processes, such as `dovecot-tt-mail-1/imap [alice@example.test 127.0.0.1 IDLE]`. */
export async function connections(folder: string, address: string): Promise<string[]> {
  const master = Number(await readFile(join(folder, 'run/master.pid'), 'utf8'));
  const titles = descendants(master).map(titleOf);
  return titles.filter((title) => title.includes(`/imap [${address} `));
}

export async function kick(folder: string, address: string): Promise<void> {
  await run('doveadm', ['-c', join(folder, 'dovecot.conf'), 'kick', address]);
}

/** `maildir` is an inbox: its mails stay, what Dovecot knows of their numbers goes. */
export async function renumber(maildir: string): Promise<void> {
  const names = await readdir(maildir);
  const indexes = names.filter((name) => name.startsWith('dovecot.index'));
  await Promise.all(indexes.map((name) => rm(join(maildir, name))));
  const list = join(maildir, 'dovecot-uidlist');
  const [header = ''] = (await readFile(list, 'utf8')).split('\n');
  const renewed = header.replace(/ V(\d+)/, (_, validity) => ` V${Number(validity) + 1000}`).replace(/ N\d+/, ' N1');
  await writeFile(list, `${renewed}\n`);
}

/** '' for a process that has ended. */
function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
