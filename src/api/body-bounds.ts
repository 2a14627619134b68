// What is asked of every body before anything else looks at it. A schema names all that is wrong, so what it may meet
// has to be bounded: 3 MB of wrong items held the process for 4.6 s.
import { isUtf8 } from 'node:buffer';
import { ApiError, invalid } from '../errors.ts';
import { fieldName } from './validation.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Members of the body whose own rules say what a NUL in them means; elsewhere it is refused. */
    readonly nulAllowedIn?: readonly string[];
  }
}

const MOST_ITEMS = 1000;
const DEEPEST = 32;
/** Lists of 1,000 people, headers and attachments in every field that takes them make 26,000. */
const MOST_VALUES = 30_000;

/** Throws a 400 that names the field for a value that is too long, too deep or not to be stored. */
export function checkBounds(body: unknown, nulAllowedIn: readonly string[] = []): void {
  const path: (string | number)[] = [];
  let left = MOST_VALUES;
  const take = (count: number): void => {
    left -= count;
    if (left < 0) throw invalid('the request body', `must have at most ${MOST_VALUES} values`);
  };

  // Recursion is safe: it ends at the deepest level allowed.
  const visit = (value: unknown): void => {
    if (typeof value === 'string') {
      if (value.includes('\0') && !nulAllowedIn.includes(String(path[0]))) throw nulRefusal(path);
      return;
    }
    if (typeof value !== 'object' || value === null) return;
    if (path.length >= DEEPEST) throw invalid(named(path), `must not be nested deeper than ${DEEPEST} levels`);
    if (Array.isArray(value)) {
      if (value.length > MOST_ITEMS) throw invalid(named(path), `must have at most ${MOST_ITEMS} items`);
      take(value.length);
      for (const [index, item] of value.entries()) within(index, item);
      return;
    }
    const names = Object.keys(value);
    take(names.length);
    for (const name of names) {
      // It would become a prototype when the object is copied member by member.
      if (name === '__proto__') throw invalidJson('it has a member "__proto__"');
      if (name.includes('\0') && !nulAllowedIn.includes(String(path[0] ?? name))) throw nulRefusal([...path, name]);
      within(name, Reflect.get(value, name));
    }
  };
  const within = (step: string | number, value: unknown): void => {
    path.push(step);
    visit(value);
    path.pop();
  };
  visit(body);
}

/**
 * Members that are null count as not given, as they do for Nylas: Python's None and Ruby's nil come so. In metadata a
 * null is a mistake, and among tracking_settings it is a value.
 */
export function withoutNulls(value: unknown, depth = DEEPEST_READ): unknown {
  if (depth === 0 || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withoutNulls(item, depth - 1));
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([name, member]) => [name, NULLS_IN.has(name) ? member : withoutNulls(member, depth - 1)]),
  );
}

/** The body, a list in it, a member of that list: nothing we read lies deeper. */
const DEEPEST_READ = 3;
const NULLS_IN: ReadonlySet<string> = new Set(['metadata', 'tracking_settings']);

/** JSON in strict UTF-8; nothing at all is undefined. Throws a 400. */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw invalidJson('it is not UTF-8');
  try {
    const text = bytes.toString('utf8').replace(/^\uFEFF/, '');
    return SURROGATE.test(text) ? JSON.parse(text, wellFormed) : JSON.parse(text);
  } catch (error) {
    // A RangeError: nested deeper than the parser can follow.
    throw error instanceof SyntaxError || error instanceof RangeError ? invalidJson(error.message) : error;
  }
}

/** Half of an emoji, as programs leave it that cut a text: other programs could not read our answer with it. */
function wellFormed(_name: string, value: unknown): unknown {
  return typeof value === 'string' ? value.toWellFormed() : value;
}

const SURROGATE = /\\u[dD][89a-fA-F]/;

export function invalidJson(where: string): ApiError {
  return new ApiError(400, 'api.invalid_request_payload', `Invalid JSON payload format. (${where})`);
}

/** PostgreSQL text holds none, and no mail does (RFC 5322 section 3.5). */
function nulRefusal(path: readonly (string | number)[]): ApiError {
  return invalid(named(path), 'must not contain a NUL character');
}

function named(path: readonly (string | number)[]): string {
  const pointer = path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
  return fieldName(pointer).replaceAll('\0', '\uFFFD') || 'the request body';
}
