import { UsageError } from './command.ts';

/** Words of the form key=value, by key; refuses other keys and other words. */
export function readPairs<Key extends string>(
  words: readonly string[],
  keys: readonly Key[],
): Readonly<Partial<Record<Key, string>>> {
  const pairs: Partial<Record<Key, string>> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    const key = keys.find((known) => known === word.slice(0, Math.max(at, 0)));
    if (key === undefined) throw new UsageError(`"${word}" is none of ${keys.map((one) => `${one}=…`).join(', ')}.`);
    pairs[key] = word.slice(at + 1);
  }
  return pairs;
}

/** A point in time as Unix milliseconds: Unix seconds, a date (its beginning in UTC) or a date and time with its zone. */
export function readTime(text: string): number {
  if (/^\d{1,11}$/.test(text)) return Number(text) * 1000;
  const ms = TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms) && ms >= 0) return ms;
  throw new UsageError(
    `"${text}" is no time such as 2026-11-22, 2026-11-22T08:00Z, 2026-11-22T08:00+01:00 or 1795334400.`,
  );
}

const TIME = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/;

export function readList<T extends string>(text: string, allowed: readonly T[]): T[] {
  return text.split(',').map((item) => readOne(item.trim(), allowed));
}

export function readOne<T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === text);
  if (found === undefined) throw new UsageError(`"${text}" is none of ${allowed.join(', ')}.`);
  return found;
}
