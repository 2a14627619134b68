// How the Python, Ruby and Java SDKs put a request on the wire, byte by byte, as recorded on a socket: Python 6.17.0, Ruby
// 6.8.0, and okhttp 4.12 told what the source of Java 2.18.1 tells it.
import { exchange } from './raw-client.ts';

export interface WireCall {
  readonly method: string;
  /** With its values as `segment` writes them. */
  readonly path: string;
  readonly query?: WireQuery;
  /** Undefined for a call that has none. */
  readonly body?: object;
  /** Instead of `body`. */
  readonly form?: { readonly contentType: string; readonly bytes: Buffer };
  readonly headers?: Readonly<Record<string, string>>;
  readonly key: string;
}

type Value = string | number | boolean;
export type WireQuery = Readonly<Record<string, Value | readonly string[] | Readonly<Record<string, string>>>>;

export interface WireSdk {
  readonly name: string;
  /** A value in the path. */
  segment(value: string): string;
  query(query: WireQuery): string;
  /** The lines of the head in their order; those in {} as each call has them. */
  readonly head: readonly string[];
  /** The body's Content-Type, null for none, and its bytes; undefined where neither it nor its length is told. */
  body(method: string, given: object | undefined): { readonly type: string | null; readonly text: string } | undefined;
}

const raw = (value: string): string => value;

export const PYTHON: WireSdk = {
  name: 'Python',
  segment: raw,
  query: (query) =>
    pairs(query, (key, value) =>
      typeof value === 'object'
        ? Object.entries(value).map(([name, inner]) => `${key}=${name}:${quoted(inner)}`)
        : [`${key}=${quoted(typeof value === 'boolean' ? (value ? 'True' : 'False') : String(value))}`],
    ),
  head: [
    '{host}',
    'User-Agent: Nylas Python SDK 6.17.0 - 3.11.2',
    'Accept-Encoding: gzip, deflate',
    'Accept: */*',
    'Connection: keep-alive',
    'X-Nylas-API-Wrapper: python',
    '{key}',
    '{type}',
    '{more}',
    '{length}',
  ],
  body: (method, given) => {
    if (given !== undefined) return { type: 'application/json', text: spaced(given) };
    return method === 'GET' ? undefined : { type: null, text: '' };
  },
};

export const RUBY: WireSdk = {
  name: 'Ruby',
  segment: raw,
  query: (query) =>
    pairs(query, (key, value) =>
      typeof value === 'object'
        ? Object.entries(value).map(([name, inner]) => `${key}=${formEncoded(`${name}:${inner}`)}`)
        : [`${key}=${formEncoded(String(value))}`],
    ),
  head: [
    'X-Nylas-Api-Wrapper: ruby',
    'User-Agent: Nylas Ruby SDK 6.8.0 - 3.1.2',
    '{key}',
    '{more}',
    '{type}',
    'Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3',
    'Accept: */*',
    'Connection: close',
    '{host}',
    '{length}',
  ],
  body: (method, given) =>
    method === 'GET' ? undefined : { type: 'application/json', text: JSON.stringify(given ?? {}) },
};

/** Of these Java sends the first address alone, of `any_email` all in one value. */
const FIRST_ONLY = ['to', 'from', 'cc', 'bcc'];

export const JAVA: WireSdk = {
  name: 'Java',
  segment: encodeURIComponent,
  query: (query) =>
    Object.entries(query)
      .map(([key, value]) => {
        if (typeof value !== 'object') return `${key}=${okhttp(String(value))}`;
        const list = Array.isArray(value) ? value.map(String) : Object.entries(value).map((pair) => pair.join(':'));
        const told = Array.isArray(value) && !FIRST_ONLY.includes(key) ? list.join(',') : (list[0] ?? '');
        return `${key}=${okhttp(told)}`;
      })
      .join('&'),
  head: [
    '{key}',
    '{more}',
    'User-Agent: Nylas Java SDK 2.18.1',
    'Accept: application/json',
    '{type}',
    '{length}',
    '{host}',
    'Connection: Keep-Alive',
    'Accept-Encoding: gzip',
  ],
  body: (method, given) => {
    if (given !== undefined) return { type: 'application/json', text: JSON.stringify(given) };
    return method === 'POST' ? { type: 'application/json', text: '' } : undefined;
  },
};

export const WIRE_SDKS: readonly WireSdk[] = [PYTHON, RUBY, JAVA];

export interface WireAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The value at a path such as `data.0.id`. */
  at(path: string): unknown;
}

/** One call as this SDK makes it, on a connection of its own. */
export async function callOnWire(sdk: WireSdk, port: number, call: WireCall): Promise<WireAnswer> {
  const { status, headers, body } = await exchange(port, bytesOf(sdk, port, call).toString('latin1'));
  const text = Buffer.from(body, 'latin1').toString('utf8');
  const json: unknown = headers.get('content-type') === 'application/json' ? JSON.parse(text) : undefined;
  return {
    status,
    headers: new Headers([...headers]),
    text,
    at: (path) => path.split('.').reduce<unknown>((inner, step) => Reflect.get(Object(inner), step), json),
  };
}

/** The whole request. */
export function bytesOf(sdk: WireSdk, port: number, call: WireCall): Buffer {
  const query = call.query === undefined ? '' : `?${sdk.query(call.query)}`;
  const json = sdk.body(call.method, call.body);
  const body = call.form?.bytes ?? (json === undefined ? undefined : Buffer.from(json.text));
  const type = call.form?.contentType ?? json?.type ?? null;
  const own: Readonly<Record<string, readonly string[]>> = {
    '{host}': [`Host: 127.0.0.1:${port}`],
    '{key}': [`Authorization: Bearer ${call.key}`],
    '{more}': Object.entries(call.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    '{type}': type === null ? [] : [`Content-Type: ${type}`],
    '{length}': body === undefined ? [] : [`Content-Length: ${body.length}`],
  };
  const head = [`${call.method} ${call.path}${query} HTTP/1.1`, ...sdk.head.flatMap((line) => own[line] ?? [line])];
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body ?? Buffer.alloc(0)]);
}

/** A list is told value by value. */
function pairs(
  query: WireQuery,
  told: (key: string, value: Value | Readonly<Record<string, string>>) => readonly string[],
): string {
  return Object.entries(query)
    .flatMap(([key, value]) => (isList(value) ? value.flatMap((item) => told(key, item)) : told(key, value)))
    .join('&');
}

function isList(value: WireQuery[string]): value is readonly string[] {
  return Array.isArray(value);
}

/** Python's json.dumps. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}: ${spaced(member)}`).join(', ')}}`;
}

/** Python's urllib.parse.quote. */
function quoted(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%2F', '/')
    .replace(/[!'()*]/g, hex);
}

/** Ruby's URI.encode_www_form_component. */
function formEncoded(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replace(/[!'()~]/g, hex);
}

/** okhttp's addQueryParameter. */
function okhttp(text: string): string {
  return encodeURIComponent(text).replace(/[!'()~]/g, hex);
}

function hex(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
