// The rules of contract 7 on every route, taken from the server itself: whatever is asked of it, and however badly.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Answered, makeAnswerRules, said } from '../support/answer-rules.ts';
import type { Document } from '../support/openapi-document.ts';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';

let api: WholeApi;
let rules: ReturnType<typeof makeAnswerRules>;
/** Methods and paths with every parameter filled in by what cannot be found; pages left out. */
let routes: readonly Route[];

interface Route {
  readonly method: string;
  readonly pattern: string;
  readonly path: string;
}

const PAGES = /^(\/|\/docs.*|\/sign-in|\/openapi\.json|\/practice(\/practice\.(css|js))?)$/;
const UNKNOWN: Readonly<Record<string, string>> = {
  identifier: 'nobody@example.com',
  id: '00000000-0000-4000-8000-000000000000',
  index: '0',
};

before(async () => {
  api = await startWholeApi();
  const document: Document = JSON.parse(await (await fetch(`${api.url}/openapi.json`)).text());
  rules = makeAnswerRules(document);
  routes = api.routes
    .map((route) => {
      const [method = '', pattern = ''] = route.split(' ');
      return { method, pattern, path: pattern.replace(/:(\w+)/g, (_, name: string) => UNKNOWN[name] ?? 'unknown') };
    })
    .filter(({ pattern }) => !PAGES.test(pattern));
});
after(async () => {
  await api.close();
});

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly key?: string | null;
  readonly type?: string;
  readonly body?: string | Buffer;
}

async function ask(route: Route, asked: Asked = {}): Promise<Answered> {
  const { path = route.path, method = route.method, key = api.key, type, body } = asked;
  const response = await fetch(api.url + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(key !== null && { authorization: `Bearer ${key}` }),
      ...(type !== undefined && { 'content-type': type }),
    },
    ...(body !== undefined && { body }),
  });
  const text = await response.text();
  return { method, path, status: response.status, header: (name) => response.headers.get(name), text };
}

/** Every route is asked so, and answers with one of these statuses and by the rules. */
async function everywhere(
  which: (route: Route) => boolean,
  asked: (route: Route) => Asked,
  statuses: readonly number[] | null,
): Promise<void> {
  const wrong: string[] = [];
  const chosen = routes.filter(which);
  assert.ok(chosen.length > 10, `${chosen.length} routes`);
  for (const route of chosen) {
    const answered = await ask(route, asked(route));
    const problems = [...rules(answered)];
    if (statuses !== null && !statuses.includes(answered.status)) problems.push(`its status is ${answered.status}`);
    if (answered.status >= 500) problems.push('it is no answer');
    if (problems.length > 0) wrong.push(said(answered, problems));
  }
  assert.deepEqual(wrong, []);
}

const all = (): boolean => true;
const hasBody = ({ method }: Route): boolean => method !== 'GET';
const isBelow = ({ pattern }: Pick<Route, 'pattern'>): boolean => pattern.startsWith('/v3/');
const hasParameter = ({ pattern }: Route): boolean => pattern.includes(':') && isBelow({ pattern });

describe('every route answers by the rules', () => {
  it('a request that names nothing there is', async () => {
    await everywhere(all, () => ({}), null);
  });

  it('a request with an empty JSON body, as the Java SDK writes it', async () => {
    await everywhere(hasBody, () => ({ type: 'application/json', body: '' }), null);
  });

  it('a request without a key', async () => {
    await everywhere(all, () => ({ key: null }), [401]);
  });

  it('a request with a key that is none', async () => {
    await everywhere(all, () => ({ key: 'nyk_unknown' }), [401]);
  });

  it('a body that is no JSON', async () => {
    await everywhere(hasBody, () => ({ type: 'application/json', body: '{"to":' }), [400]);
  });

  it('a body that is not UTF-8', async () => {
    await everywhere(hasBody, () => ({ type: 'application/json', body: Buffer.from([0x7b, 0xff, 0x7d]) }), [400]);
  });

  it('a body that is a list, a number or null', async () => {
    for (const body of ['[]', '1', 'null', '"x"']) {
      await everywhere(hasBody, () => ({ type: 'application/json', body }), [400, 401, 404, 200, 201, 202]);
    }
  });

  it('members of every wrong type', async () => {
    for (const value of [null, 1, 'x', true, [], {}, [null], { a: null }]) {
      const names = ['to', 'settings', 'provider', 'webhook_url', 'trigger_types', 'tracking_settings', 'url', 'since'];
      const body = JSON.stringify(Object.fromEntries(names.map((name) => [name, value])));
      await everywhere(hasBody, () => ({ type: 'application/json', body }), null);
    }
  });

  it('a body of a type that is not taken', async () => {
    await everywhere(hasBody, () => ({ type: 'text/xml', body: '<a/>' }), [415]);
    await everywhere(hasBody, () => ({ type: 'nonsense', body: 'x' }), [415]);
  });

  it('a body that is too large', async () => {
    const body = JSON.stringify({ description: 'x'.repeat(7_000_000) });
    await everywhere(hasBody, () => ({ type: 'application/json', body }), [413]);
  });

  it('a query that makes no sense', async () => {
    const query = '?limit=many&select=&page_token=%00&fields=odd&unread=perhaps&since=yesterday&unknown=1';
    await everywhere(all, ({ path }) => ({ path: path + query }), null);
  });

  it('names that are odd, badly encoded or far too long', async () => {
    for (const name of ['%00', '%F0%9F%92%8C', '%3Cscript%3E', 'a%2Fb', "'--", '%20', '%2e%2e%2e', 'null']) {
      const filled = ({ pattern }: Route): Asked => ({ path: pattern.replace(/:\w+/g, name) });
      await everywhere(hasParameter, filled, null);
    }
    await everywhere(hasParameter, ({ pattern }) => ({ path: pattern.replace(/:\w+/g, '%zz') }), [400]);
    await everywhere(hasParameter, ({ pattern }) => ({ path: pattern.replace(/:\w+/g, 'x'.repeat(1500)) }), [404]);
  });

  it('a slash at the end, and two at the beginning', async () => {
    await everywhere(isBelow, ({ path }) => ({ path: `${path}/`, key: null }), [401]);
  });

  it('a method that it does not have', async () => {
    const known = new Set(api.routes);
    await everywhere(
      ({ pattern }) => !known.has(`PATCH ${pattern}`) && isBelow({ pattern }),
      () => ({ method: 'PATCH', key: null }),
      [405],
    );
  });

  it('a step too many', async () => {
    await everywhere(isBelow, ({ path }) => ({ path: `${path}/nothing/of/the/kind`, key: null }), [404]);
  });

  it('HEAD, with the head of GET and no body', async () => {
    for (const route of routes.filter(({ method }) => method === 'GET')) {
      const [head, get] = [await ask(route, { method: 'HEAD' }), await ask(route)];
      assert.equal(head.text, '');
      assert.equal(head.status, get.status, route.path);
      assert.equal(head.header('content-type'), get.header('content-type'), route.path);
      assert.ok(head.header('x-request-id'), route.path);
    }
  });
});
