import { invalid } from '../errors.ts';

/** Unix seconds end here for us: the last one of the year 9999. What is larger are mostly milliseconds. */
export const LAST_SECOND = 253_402_300_799;
export const UNIX_SECONDS = 'must be a time in Unix seconds, such as 1795334400 (milliseconds are too many)';
/** A name that a caller made up is told back this far. */
const LONGEST_NAME = 200;

/** A query string's parameters by name; a wrong value is a 400 that names its parameter. An empty value counts as none. */
export interface QueryReader {
  text(name: string): string | undefined;
  integer(name: string, range: { readonly min: number; readonly max: number }): number | undefined;
  /** Unix seconds. */
  second(name: string): number | undefined;
  /** In any case: the Python SDK writes `True`. */
  boolean(name: string): boolean | undefined;
  oneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined;
  /** Repeated parameters, comma lists and mixtures of both: the SDKs do either. */
  list(name: string): readonly string[] | undefined;
}

/** The query of a route that is ours alone: what it does not know, and an empty value, is a 400. Nylas's ignore both. */
export function readOwnQuery(request: { readonly query: unknown }, known: readonly string[]): QueryReader {
  for (const [name, value] of Object.entries(Object(request.query))) {
    if (!known.includes(name)) {
      const what = known.length === 0 ? 'there are none here' : `those are ${known.join(', ')}`;
      throw invalid(name.slice(0, LONGEST_NAME), `is not a known parameter: ${what}`);
    }
    if ([value].flat().some((item) => /^[\s,]*$/.test(String(item)))) throw invalid(name, 'must not be empty');
  }
  return readQuery(request);
}

export function readQuery(request: { readonly query: unknown }): QueryReader {
  const all = (name: string): readonly string[] => {
    const value: unknown = Reflect.get(Object(request.query), name);
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    const texts = values.filter((item): item is string => typeof item === 'string' && item !== '');
    // PostgreSQL text holds none.
    if (texts.some((item) => item.includes('\0'))) throw invalid(name, 'must not contain a NUL character');
    return texts;
  };
  const text = (name: string): string | undefined => all(name)[0];
  return {
    text,
    integer(name, { min, max }) {
      const value = text(name);
      if (value === undefined) return undefined;
      const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (!(number >= min && number <= max)) throw invalid(name, `must be a whole number from ${min} to ${max}`);
      return number;
    },
    second(name) {
      const value = text(name);
      if (value === undefined) return undefined;
      if (!/^\d{1,12}$/.test(value) || Number(value) > LAST_SECOND) throw invalid(name, UNIX_SECONDS);
      return Number(value);
    },
    boolean(name) {
      const value = text(name)?.toLowerCase();
      if (value === undefined) return undefined;
      if (value !== 'true' && value !== 'false') throw invalid(name, 'must be true or false');
      return value === 'true';
    },
    oneOf(name, allowed) {
      const value = text(name);
      if (value === undefined) return undefined;
      const found = allowed.find((item) => item === value);
      if (found === undefined) throw invalid(name, `must be one of ${allowed.join(', ')}`);
      return found;
    },
    list(name) {
      const items = all(name).flatMap((value) => value.split(',').map((item) => item.trim()));
      const filled = items.filter((item) => item !== '');
      return filled.length === 0 ? undefined : filled;
    },
  };
}
