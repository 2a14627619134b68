import { invalid } from '../errors.ts';

/** A query string's parameters by name; a wrong value is a 400 that names its parameter. An empty value counts as none. */
export interface QueryReader {
  text(name: string): string | undefined;
  integer(name: string, range: { readonly min: number; readonly max: number }): number | undefined;
  /** In any case: the Python SDK writes `True`. */
  boolean(name: string): boolean | undefined;
  oneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined;
  /** Repeated parameters, comma lists and mixtures of both: the SDKs do either. */
  list(name: string): readonly string[] | undefined;
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
