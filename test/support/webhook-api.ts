// The routes of webhooks with a database and a receiver of their own, called without a socket.
import assert from 'node:assert/strict';
import { channelRoutes } from '../../src/api/channels.ts';
import { createApi } from '../../src/api/server.ts';
import { webhookRoutes } from '../../src/api/webhooks.ts';
import { createKey } from '../../src/grants/keys.ts';
import { generateSecret, parseKeyring } from '../../src/keyring.ts';
import { makeLog } from '../../src/log.ts';
import { NameError } from '../../src/names.ts';
import { testDestinations } from './destinations.ts';
import { type NotifyGround, notifyGround } from './notify-ground.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { injected, rulesOf } from './watched-answers.ts';

/** From where this API says its deliveries come. */
export const OUTGOING = { addresses: ['192.0.2.1', '2001:db8::/64'], since: new Date('2026-11-22T10:00:00.900Z') };

export interface Answer {
  readonly status: number;
  readonly data: Record<string, unknown>;
  readonly list: readonly Record<string, unknown>[];
  readonly error: { readonly type: string; readonly message: string };
  readonly headers: Record<string, unknown>;
}

export interface WebhookApi {
  readonly ground: NotifyGround;
  readonly receiver: Receiver;
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object | string): Promise<Answer>;
  stored(): Promise<number>;
}

/** Everything it started ends with the test. */
export async function webhookApi(
  context: { after(release: () => Promise<void>): void },
  { pubsubEmulator = null }: { readonly pubsubEmulator?: string | null } = {},
): Promise<WebhookApi> {
  const ground = await notifyGround();
  const receiver = await startReceiver();
  const { destinations, close } = testDestinations({
    attemptMs: 300,
    pubsubEmulator,
    names: {
      async lookUp(name) {
        if (name === 'inside.test') return ['10.0.0.1'];
        if (name === 'public.test') return ['8.8.8.8'];
        throw new NameError(`${name} could not be resolved (ENOTFOUND)`);
      },
    },
  });
  const { sql, vault, app } = ground;
  const http = createApi({
    sql,
    log: makeLog('silent'),
    ring: parseKeyring(generateSecret()),
    publicUrl: 'http://localhost:8080',
    routes: [
      webhookRoutes({ sql, vault, destinations, outgoing: OUTGOING }),
      channelRoutes({ sql, vault, destinations }),
    ],
  });
  const { key } = await createKey(sql, app);
  await http.ready();
  const rules = rulesOf(http);
  context.after(async () => {
    await http.close();
    await close();
    await receiver.close();
    await ground.drop();
  });
  return {
    ground,
    receiver,
    async call(method, path, body) {
      const answer = await http.inject({
        method,
        url: path,
        headers: {
          authorization: `Bearer ${key}`,
          ...(typeof body === 'string' ? { 'content-type': 'application/json' } : {}),
        },
        ...(body === undefined ? {} : { payload: body }),
      });
      const { data, error } = answer.json();
      assert.deepEqual(rules(injected({ method, path }, answer)), [], `${method} ${path}`);
      return { status: answer.statusCode, data, list: data, error, headers: answer.headers };
    },
    async stored() {
      return (await sql`select from destinations`).length;
    },
  };
}
