import type { Kind, Members } from './members.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Ruby knows no other success (a 204 crashes it); of a 302 there is none below /v3. */
const SUCCESS = [200, 201, 202];
const INT_MAX = 2 ** 31 - 1;

/** Everything about an answer that breaks one of the SDKs, as sentences; none for a good one. */
export function breaches(answer: RawAnswer, members: Members): string[] {
  const { status, headers, text } = answer;
  const found: string[] = [];
  // Ruby parses nothing under any other value.
  if (headers.get('content-type') !== 'application/json') found.push(`Content-Type is ${headers.get('content-type')}`);
  if (!SUCCESS.includes(status) && status < 400) found.push(`the status is ${status}`);
  const body = parsed(text);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return [...found, 'the body is no JSON object'];
  const id: unknown = Reflect.get(body, 'request_id');
  if (typeof id !== 'string' || id !== headers.get('x-request-id')) found.push('request_id is not the x-request-id');
  // Java has no null where a value is expected; a member that is not there is left out.
  found.push(
    ...nulls(body, '')
      .filter((path) => !String(members[path] ?? members[`${path}?`]).endsWith(' or null'))
      .map((path) => `${path} is null`),
  );
  if (status >= 400 && Object.hasOwn(body, 'data')) found.push('a refusal has data');
  if (status < 400 && Object.hasOwn(body, 'error')) found.push('a success has an error');
  for (const [path, kind] of Object.entries(members)) found.push(...wrong(body, path, kind));
  return found;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function nulls(value: unknown, path: string): string[] {
  if (value === null) return [path];
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, inner]) => nulls(inner, path === '' ? name : `${path}.${name}`));
}

function wrong(body: object, path: string, kind: Kind): string[] {
  const optional = path.endsWith('?');
  const steps = path.replace(/\?$/, '').replaceAll('[]', '.[]').split('.');
  let at: readonly { readonly where: string; readonly value: unknown }[] = [{ where: '', value: body }];
  for (const [index, step] of steps.entries()) {
    const last = index === steps.length - 1;
    at = at.flatMap(({ where, value }) => {
      if (step === '[]') {
        return Array.isArray(value) ? value.map((item, number) => ({ where: `${where}[${number}]`, value: item })) : [];
      }
      const name = where === '' ? step : `${where}.${step}`;
      // What is missing further up was told there.
      if (!last && !Object.hasOwn(Object(value), step)) return [];
      return [{ where: name, value: Reflect.get(Object(value), step) }];
    });
  }
  return at
    .filter(({ value }) => !(optional && value === undefined) && !is(value, kind))
    .map(({ where, value }) => `${where} is ${show(value)}, not ${Array.isArray(kind) ? 'a known word' : kind}`);
}

function is(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case 'string':
    case 'boolean':
      return typeof value === kind;
    case 'long':
      return Number.isSafeInteger(value);
    case 'int':
      return Number.isSafeInteger(value) && Math.abs(Number(value)) <= INT_MAX;
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'objects':
      return Array.isArray(value) && value.every((item) => is(item, 'object'));
    case 'strings':
      return Array.isArray(value) && value.every((item) => typeof item === 'string');
    case 'string or null':
      return value === null || is(value, 'string');
    case 'strings or null':
      return value === null || is(value, 'strings');
    default:
      return kind.some((word) => word === value);
  }
}

function show(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100);
}
