// The settings of an IMAP grant that are lists.
import { invalid } from '../errors.ts';

type Given = Readonly<Record<string, unknown>>;

export const MOST_ALIASES = 50;
const MOST_FOLDERS = 50;
const LONGEST_PATH = 500;
const ALL_FOLDERS = '*';
const ADDRESS = /^[^\s\p{Cc}@"(),:;<>[\]\\]+@[^\s\p{Cc}@"(),:;<>[\]\\]+$/u;

/** Whether it is an address such as `name@example.com`: no more than is needed to tell it from other text. */
export function isAddress(text: string): boolean {
  return text.length <= 320 && ADDRESS.test(text);
}

/** The other addresses of the mailbox, in lower case, each once. Null where nothing is said of them. */
export function readAliases(given: Given, email: string): readonly string[] | null {
  const list = texts(given, 'email_aliases', MOST_ALIASES, 'addresses');
  const other = list?.find((alias) => !isAddress(alias));
  if (other !== undefined) {
    throw invalid('settings.email_aliases', `must be addresses such as name@example.com: ${shown(other)} is none`);
  }
  if (list === null) return null;
  return [...new Set(list.map((alias) => alias.toLowerCase()))].filter((alias) => alias !== email.toLowerCase());
}

/** The folders that are watched besides those every mailbox is watched in, by their paths; `*` alone for all. */
export function readFolders(given: Given): readonly string[] {
  const list = texts(given, 'watch_folders', MOST_FOLDERS, 'paths of folders') ?? [];
  const other = list.find((path) => path === '' || path.length > LONGEST_PATH || /\p{Cc}/u.test(path));
  if (other !== undefined) throw invalid('settings.watch_folders', `must not hold ${shown(other)}: that is no path`);
  if (list.includes(ALL_FOLDERS) && list.length > 1) {
    throw invalid('settings.watch_folders', `must be ["${ALL_FOLDERS}"] or paths of folders, not both`);
  }
  return [...new Set(list)];
}

function texts(given: Given, name: string, most: number, what: string): string[] | null {
  const value = given[name];
  if (value === undefined || value === null) return null;
  const list = Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
  if (!Array.isArray(value) || list.length < value.length) {
    throw invalid(`settings.${name}`, `must be a list of ${what}`);
  }
  if (list.length > most) throw invalid(`settings.${name}`, `must have at most ${most} ${what}`);
  return list.map((one) => one.trim().toWellFormed());
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100).toWellFormed());
}
