// How each SDK puts a call on the wire, read from its source: Node 8.4, Python 6.17, Ruby 6.8, Java/Kotlin 2.18.1.

export interface Caller {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  /** A value in the path. */
  segment(value: string): string;
  /** The whole path. */
  path(path: string): string;
  /** The request's body; undefined for none at all, '' for an empty one under a JSON Content-Type. */
  body(method: string, given: object | undefined): string | undefined;
}

const json = (given: object | undefined): string | undefined =>
  given === undefined ? undefined : JSON.stringify(given);
const raw = (value: string): string => value;

export const CALLERS: readonly Caller[] = [
  {
    name: 'Node',
    headers: { accept: 'application/json', 'user-agent': 'Nylas Node SDK v8.4.0' },
    segment: encodeURIComponent,
    path: raw,
    body: (_method, given) => json(given),
  },
  {
    name: 'Python',
    headers: { 'X-Nylas-API-Wrapper': 'python', 'user-agent': 'Nylas Python SDK 6.17.0 - 3.11.2' },
    segment: raw,
    path: raw,
    body: (_method, given) => json(given),
  },
  {
    name: 'Ruby',
    headers: { 'X-Nylas-API-Wrapper': 'ruby', 'user-agent': 'Nylas Ruby SDK 6.8.0 - 3.1.2' },
    segment: raw,
    path: raw,
    body: (method, given) => (method === 'GET' ? undefined : JSON.stringify(given ?? {})),
  },
  {
    name: 'Java',
    headers: { accept: 'application/json', 'user-agent': 'Nylas Java SDK 2.18.1' },
    segment: encodeURIComponent,
    path: raw,
    body: (method, given) => json(given) ?? (method === 'GET' ? undefined : ''),
  },
  {
    // The pages' own examples: a slash at the end, and no body where there is nothing to say.
    name: 'curl',
    headers: { 'user-agent': 'curl/8.5.0', 'content-type': 'application/json' },
    segment: raw,
    path: (path) => path.replace(/(?=\?|$)/, '/'),
    body: (_method, given) => json(given),
  },
];

export interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  /** '' for none. */
  readonly key: string;
}

/** One call as this SDK makes it. */
export async function callAs(caller: Caller, origin: string, call: Call): Promise<Response> {
  const body = caller.body(call.method, call.body);
  return await fetch(origin + caller.path(call.path), {
    method: call.method,
    headers: {
      ...caller.headers,
      ...(call.key !== '' && { authorization: `Bearer ${call.key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body }),
  });
}
