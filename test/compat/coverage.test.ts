// Every method of the Node SDK is either run against the product by this suite, or is on the list of what is not there.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { NylasApiError, NylasOAuthError } from 'nylas';
import { type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { nylas } from '../support/nylas.ts';

/** Whole resources, or single methods, and why a caller meets a refusal there. */
const NOT_THERE: Readonly<Record<string, string>> = {
  'messages.list': 'the mailbox is not mirrored: what was sent from here and answers to it are read one by one',
  'messages.update': 'nothing in the mailbox is changed',
  'messages.destroy': 'nothing in the mailbox is deleted',
  'messages.cleanMessages': 'not about tracking',
  'messages.smartCompose': 'not about tracking',
  'threads.list': 'the mailbox is not mirrored',
  'threads.update': 'nothing in the mailbox is changed',
  'threads.destroy': 'nothing in the mailbox is deleted',
  attachments: 'downloads and upload sessions are not built',
  folders: 'the mailbox is not mirrored',
  'auth.exchangeCodeForToken': 'hosted OAuth is not built',
  'auth.refreshAccessToken': 'hosted OAuth is not built',
  'auth.revoke': 'hosted OAuth is not built',
  'auth.detectProvider': 'hosted OAuth is not built',
  'auth.idTokenInfo': 'hosted OAuth is not built',
  'auth.accessTokenInfo': 'hosted OAuth is not built',
  connectors: 'providers are set by the operator',
  'connectors.credentials': 'providers are set by the operator',
  transactionalSend: 'mail leaves from mailboxes',
  domains: 'mail leaves from mailboxes',
  calendars: 'not about mail',
  events: 'not about mail',
  contacts: 'not about mail',
  notetakers: 'not about mail',
  'scheduler.configurations': 'not about mail',
  'scheduler.bookings': 'not about mail',
  'scheduler.sessions': 'not about mail',
  'scheduler.availability': 'not about mail',
  policies: 'not about tracking',
  rules: 'not about tracking',
  lists: 'not about tracking',
  workspaces: 'not about tracking',
};

/** These work something out and call nobody. */
const LOCAL = new Set([
  'auth.urlForOAuth2',
  'auth.urlForOAuth2PKCE',
  'auth.urlForAdminConsent',
  'auth.urlAuthBuilder',
  'auth.hashPKCESecret',
  'auth.getTokenInfo', // called by the two that have "Info" in their names
  'domains.assertServiceAccountSigningHeaders',
  'domains.buildSignedRequest',
]);

/** As `drafts.list` or `messages.smartCompose.composeMessage`. */
const METHODS: readonly string[] = methodsOf(nylas({ apiKey: 'none', apiUri: 'http://127.0.0.1' }));

function methodsOf(sdk: object, prefix = ''): string[] {
  return Object.entries(sdk).flatMap(([name, resource]) => {
    const prototype: unknown = Object.getPrototypeOf(Object(resource));
    if (name === 'apiClient' || typeof resource !== 'object' || prototype === Object.prototype) return [];
    const own = Object.getOwnPropertyNames(prototype).filter((method) => method !== 'constructor');
    return [...own.map((method) => `${prefix}${name}.${method}`), ...methodsOf(resource, `${prefix}${name}.`)];
  });
}

function isNotThere(method: string): boolean {
  return Object.hasOwn(NOT_THERE, method) || Object.hasOwn(NOT_THERE, method.slice(0, method.lastIndexOf('.')));
}

describe('every method of the Node SDK', () => {
  const here = new URL('./', import.meta.url);
  const suite = readdirSync(here)
    .filter((file) => file.endsWith('.test.js') && !file.startsWith('coverage'))
    .map((file) => readFileSync(new URL(file, here), 'utf8'))
    .join('\n');

  it('is known: the SDK has as many resources as it had', () => {
    assert.ok(METHODS.length > 100, String(METHODS.length));
    for (const name of [...Object.keys(NOT_THERE), ...LOCAL]) {
      assert.ok(
        METHODS.some((method) => method === name || method.startsWith(`${name}.`)),
        `${name} is no more`,
      );
    }
  });

  for (const method of METHODS.filter((name) => !LOCAL.has(name) && !isNotThere(name))) {
    it(`${method} is run by this suite`, () => {
      const [resource, call] = method.split('.').slice(-2);
      assert.match(suite, new RegExp(`\\b${resource}\\s*\\.${call}\\(`));
    });
  }
});

describe('what is not there is refused in a way that the SDK can tell', () => {
  let ground: CompatGround;
  before(async () => {
    ground = await startCompatGround();
  });
  after(async () => {
    await ground.close();
  });

  for (const method of METHODS.filter((name) => !LOCAL.has(name) && isNotThere(name))) {
    it(method, async () => {
      const error = await thrownBy(ground.sdk, method, ground.grant);
      const told = `${method} threw ${error}`;
      if (error instanceof NylasOAuthError) {
        assert.ok([404, 405].includes(error.statusCode ?? 0), told);
        return;
      }
      assert.ok(error instanceof NylasApiError, told);
      assert.ok([404, 405].includes(error.statusCode ?? 0), `${told} ${error.statusCode}`);
      assert.ok(['api.not_found_error', 'api.invalid_request_error'].includes(error.type), error.type);
      assert.match(error.message, /^(Resource not found\.|[A-Z]+ is not possible here, only [A-Z, ]+\.)$/);
      assert.match(error.requestId ?? '', /^[0-9a-f-]{36}$/);
    });
  }
});

async function thrownBy(sdk: Sdk, method: string, identifier: string): Promise<unknown> {
  const steps = method.split('.');
  const resource = steps.slice(0, -1).reduce<object>((inner, step) => Object(Reflect.get(inner, step)), sdk);
  const call: unknown = Reflect.get(resource, steps.at(-1) ?? '');
  assert.ok(typeof call === 'function', method);
  try {
    const answer: unknown = await Reflect.apply(call, resource, [anything(identifier), 'token']);
    return `no error, but ${JSON.stringify(answer)}`;
  } catch (error) {
    return error;
  }
}

/** Whatever parameter a method takes. */
function anything(identifier: string): object {
  const given: Readonly<Record<string, unknown>> = {
    identifier,
    requestBody: {},
    queryParams: {},
    signer: undefined,
    // Of a service account; the SDK wants them before it calls.
    overrides: {
      headers: {
        'X-Nylas-Kid': 'k',
        'X-Nylas-Nonce': 'n',
        'X-Nylas-Timestamp': '1',
        'X-Nylas-Signature': 's',
      },
    },
  };
  return new Proxy(given, { get: (target, name) => (name in target ? Reflect.get(target, name) : 'unknown') });
}
