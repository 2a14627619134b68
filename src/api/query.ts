// Query parameters: each route declares its own once, by which they are read, refused and documented.
import { type TSchema, Type } from '@sinclair/typebox';
import { invalid } from '../errors.ts';

/** Unix seconds end here for us: the last one of the year 9999. What is larger are mostly milliseconds. */
export const LAST_SECOND = 253_402_300_799;
export const UNIX_SECONDS = 'must be a time in Unix seconds, such as 1795334400 (milliseconds are too many)';
/** A name that a caller made up is told back this far. */
const LONGEST_NAME = 200;

export interface Parameter<T> {
  /** What may be given. */
  readonly schema: TSchema;
  /** From all values given under this name, empty ones left out; throws a 400 that names the parameter. */
  read(name: string, given: readonly string[]): T;
}

export type Parameters = Readonly<Record<string, Parameter<unknown>>>;
export type ValuesOf<P extends Parameters> = {
  readonly [Name in keyof P]: P[Name] extends Parameter<infer T> ? T : never;
};

/** The declared parameters of a request. An empty value counts as none; what is not declared is let through. */
export function readQuery<P extends Parameters>(request: { readonly query: unknown }, parameters: P): ValuesOf<P> {
  const given = (name: string): readonly string[] => {
    const texts = [Reflect.get(Object(request.query), name)]
      .flat()
      .filter((item): item is string => typeof item === 'string' && item !== '');
    // PostgreSQL text holds none.
    if (texts.some((item) => item.includes('\0'))) throw invalid(name, 'must not contain a NUL character');
    return texts;
  };
  const values = Object.entries(parameters).map(([name, parameter]) => [name, parameter.read(name, given(name))]);
  return Object.fromEntries(values);
}

/** The query of a route that is ours alone: what it does not know, and an empty value, is a 400. Nylas's ignore both. */
export function readOwnQuery<P extends Parameters>(request: { readonly query: unknown }, parameters: P): ValuesOf<P> {
  const known = Object.keys(parameters);
  for (const [name, value] of Object.entries(Object(request.query))) {
    if (!known.includes(name)) {
      const what = known.length === 0 ? 'there are none here' : `those are ${known.join(', ')}`;
      throw invalid(name.slice(0, LONGEST_NAME), `is not a known parameter: ${what}`);
    }
    if ([value].flat().some((item) => /^[\s,]*$/.test(String(item)))) throw invalid(name, 'must not be empty');
  }
  return readQuery(request, parameters);
}

/** Of a repeated one the first. */
export function text(description: string): Parameter<string | undefined> {
  return { schema: Type.String({ description }), read: (_name, [value]) => value };
}

interface Range {
  readonly min: number;
  readonly max: number;
}

export function integer(range: Range & { readonly fallback: number }, description: string): Parameter<number>;
export function integer(range: Range, description: string): Parameter<number | undefined>;
export function integer(
  { min, max, fallback }: Range & { readonly fallback?: number },
  description: string,
): Parameter<number | undefined> {
  return {
    schema: Type.Integer({
      minimum: min,
      maximum: max,
      ...(fallback !== undefined && { default: fallback }),
      description,
    }),
    read(name, [value]) {
      if (value === undefined) return fallback;
      const number = /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
      if (!(number >= min && number <= max)) throw invalid(name, `must be a whole number from ${min} to ${max}`);
      return number;
    },
  };
}

/** Unix seconds. */
export function second(description: string): Parameter<number | undefined> {
  return {
    schema: Type.Integer({ minimum: 0, maximum: LAST_SECOND, description: `${description} (Unix seconds)` }),
    read(name, [value]) {
      if (value === undefined) return undefined;
      if (!/^\d{1,12}$/.test(value) || Number(value) > LAST_SECOND) throw invalid(name, UNIX_SECONDS);
      return Number(value);
    },
  };
}

/** In any case: the Python SDK writes `True`. */
export function boolean(description: string): Parameter<boolean | undefined> {
  return {
    schema: Type.Boolean({ description }),
    read(name, [given]) {
      const value = given?.toLowerCase();
      if (value === undefined) return undefined;
      if (value !== 'true' && value !== 'false') throw invalid(name, 'must be true or false');
      return value === 'true';
    },
  };
}

export function oneOf<T extends string>(
  allowed: readonly T[],
  options: { readonly fallback: NoInfer<T>; readonly description: string },
): Parameter<T>;
export function oneOf<T extends string>(
  allowed: readonly T[],
  options: { readonly description: string },
): Parameter<T | undefined>;
export function oneOf<T extends string>(
  allowed: readonly T[],
  { fallback, description }: { readonly fallback?: T; readonly description: string },
): Parameter<T | undefined> {
  return {
    schema: Type.Unsafe<T>({
      type: 'string',
      enum: allowed,
      ...(fallback !== undefined && { default: fallback }),
      description,
    }),
    read(name, [value]) {
      if (value === undefined) return fallback;
      const found = allowed.find((item) => item === value);
      if (found === undefined) throw invalid(name, `must be one of ${allowed.join(', ')}`);
      return found;
    },
  };
}

/** Repeated parameters, comma lists and mixtures of both: the SDKs do either. */
export function list(description: string): Parameter<readonly string[] | undefined> {
  return {
    schema: Type.Array(Type.String(), { description: `${description} (repeated, or separated by commas)` }),
    read(_name, given) {
      const items = given.flatMap((value) => value.split(',').map((item) => item.trim()));
      const filled = items.filter((item) => item !== '');
      return filled.length === 0 ? undefined : filled;
    },
  };
}
