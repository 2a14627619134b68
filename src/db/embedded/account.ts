// Who runs the server: ourselves, or, as PostgreSQL refuses root, an account that is there already.
import { readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL's own account on Linux and on macOS, then the one every system has. */
const CANDIDATES = ['postgres', '_postgres', 'nobody'];

/** Accounts a root process can hand the server to, best first. */
export async function serverAccounts(passwd = '/etc/passwd'): Promise<readonly Account[]> {
  const accounts = parsePasswd(await readFile(passwd, 'utf8').catch(() => ''));
  return CANDIDATES.flatMap((name) => accounts.filter((account) => account.name === name && account.uid !== 0));
}

export function parsePasswd(text: string): readonly Account[] {
  return text.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':');
    if (!name || !/^-?\d+$/.test(uid ?? '') || !/^-?\d+$/.test(gid ?? '')) return [];
    // macOS writes nobody as -2
    return [{ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }];
  });
}

/** initdb looks its own user up by name; in containers started with an arbitrary uid there is none. */
export function ownName(): string | null {
  try {
    return userInfo().username;
  } catch {
    return null;
  }
}

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
