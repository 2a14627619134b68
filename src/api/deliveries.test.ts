import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { rest } from '../../test/support/resting.ts';
import { injected, rulesOf } from '../../test/support/watched-answers.ts';
import { createKey } from '../grants/keys.ts';
import { uuidTime, uuidv7, wireId } from '../ids.ts';
import { generateSecret, parseKeyring } from '../keyring.ts';
import { makeLog } from '../log.ts';
import { getSubscription } from '../notify/subscriptions.ts';
import { deliveryRoutes } from './deliveries.ts';
import { notificationRoutes } from './notifications.ts';
import { createApi } from './server.ts';

interface Answer {
  readonly status: number;
  readonly data: Record<string, unknown>;
  readonly list: readonly Record<string, unknown>[];
  readonly next: string | null | undefined;
  readonly error: { readonly type: string; readonly message: string };
}

interface HistoryApi extends NotifyGround {
  readonly hook: string;
  /** Its wire id. */
  readonly name: string;
  call(method: 'GET' | 'POST', path: string, body?: object): Promise<Answer>;
  /** How often the deliverer was told of work. */
  readonly woken: () => number;
}

async function historyApi(t: { after(release: () => Promise<void>): void }): Promise<HistoryApi> {
  const ground = await notifyGround();
  const { sql, app } = ground;
  let woken = 0;
  const onDeliveries = (): void => void woken++;
  const find =
    (kind: 'webhook' | 'pubsub') =>
    (of: number, name: string): Promise<{ readonly id: string }> =>
      getSubscription({ sql }, of, kind, name);
  const http = createApi({
    sql,
    log: makeLog('silent'),
    ring: parseKeyring(generateSecret()),
    publicUrl: 'http://localhost:8080',
    routes: [
      deliveryRoutes({ sql, base: '/v3/webhooks', find: find('webhook'), onDeliveries }),
      deliveryRoutes({ sql, base: '/v3/channels/pubsub', find: find('pubsub'), onDeliveries }),
      notificationRoutes({ sql }),
    ],
  });
  const { key } = await createKey(sql, app);
  await http.ready();
  const rules = rulesOf(http);
  t.after(async () => {
    await http.close();
    await ground.drop();
  });
  const hook = (await ground.destination('https://receiver.test/hook')).id;
  return {
    ...ground,
    hook,
    name: wireId('wh', hook),
    woken: () => woken,
    async call(method, path, body) {
      const answer = await http.inject({
        method,
        url: path,
        headers: { authorization: `Bearer ${key}` },
        ...(body === undefined ? {} : { payload: body }),
      });
      assert.deepEqual(rules(injected({ method, path }, answer)), [], `${method} ${path}`);
      const { data, error, next_cursor: next } = answer.json();
      return { status: answer.statusCode, data, list: data, next, error };
    },
  };
}

const seconds = (id: string): number => Math.floor(uuidTime(id) / 1000);

test('a time range is replayed, a delivered one is not, and the answer says how many', async (t) => {
  const api = await historyApi(t);
  const { hook, name } = api;
  const now = Date.now();
  const [held = ''] = await rest(api, hook, [{ at: now - 5_000 }, { at: now - 4_000, state: 'delivered' }]);
  const since = seconds(held);
  const { status, data, next } = await api.call('POST', `/v3/webhooks/${name}/replay`, { since });
  assert.deepEqual({ status, data, next }, { status: 200, data: { queued: 1, gone: 0, not_queued: [] }, next: null });
  assert.equal(api.woken(), 1);
  assert.deepEqual((await api.call('POST', `/v3/webhooks/${name}/replay`, { since })).data.queued, 0);
  assert.equal(api.woken(), 1);
  const more = { since, until: since + 60, states: ['delivered'], trigger_types: ['message.opened'] };
  assert.deepEqual((await api.call('POST', `/v3/webhooks/${name}/replay`, more)).data.queued, 1);
});

test('a list of notifications is replayed, and for those that are not it says why', async (t) => {
  const api = await historyApi(t);
  const [id = ''] = await rest(api, api.hook, [{ state: 'delivered' }]);
  const ids = [wireId('ntf', uuidv7()), wireId('ntf', id), wireId('ntf', id)];
  const { data } = await api.call('POST', `/v3/webhooks/${api.name}/replay`, { notification_ids: ids });
  assert.deepEqual(data, { queued: 1, gone: 0, not_queued: [{ notification_id: ids[0], reason: 'unknown' }] });
});

test('what is wrong with a replay is named', async (t) => {
  const api = await historyApi(t);
  const wrong: [object, RegExp][] = [
    [{}, /^since is required where there are no notification_ids$/],
    [{ since: 1.5 }, /^since must be a whole number$/],
    [{ since: -1 }, /^since must be 0 or more$/],
    [{ since: 1_795_334_400_000 }, /^since must be a time in Unix seconds/],
    [{ since: 1, until: 1_795_334_400_000 }, /^until must be a time in Unix seconds/],
    [{ since: 2, until: 2 }, /^until must be later than since$/],
    [{ since: 1, untill: 2 }, /^untill is not a known field$/],
    [
      { since: 1, states: ['lost'] },
      /^states\[0\] must be one of "pending", "held", "exhausted", "stopped", "delivered"$/,
    ],
    [{ since: 1, states: [] }, /^states must not be empty$/],
    [{ since: 1, trigger_types: ['message.read'] }, /^trigger_types must not contain "message.read"; allowed are /],
    [{ since: 1, page_token: 'x' }, /^page_token must be the next_cursor of an earlier answer$/],
    [{ notification_ids: ['ntf_x'] }, /^notification_ids\[0\] is not the id of a notification$/],
    [{ notification_ids: [] }, /^notification_ids must not be empty$/],
    [{ notification_ids: Array(1001).fill('x') }, /^notification_ids must have at most 1000 items$/],
    [{ notification_ids: [wireId('ntf', uuidv7())], since: 1 }, /^since must not stand beside notification_ids$/],
  ];
  for (const [body, message] of wrong) {
    const { status, error } = await api.call('POST', `/v3/webhooks/${api.name}/replay`, body);
    assert.equal(status, 400, JSON.stringify(body));
    assert.match(error.message, message);
  }
  await api.sql`update destinations set status = 'paused'`;
  const { status, error } = await api.call('POST', `/v3/webhooks/${api.name}/replay`, { since: 1 });
  assert.equal(status, 400);
  assert.equal(error.message, 'status is paused: activate it first');
});

test('counters say what was sent, what waits and when it last went well', async (t) => {
  const api = await historyApi(t);
  const { sql, app, hook, name } = api;
  const path = `/v3/webhooks/${name}/counters`;
  const none = { pending: 0, held: 0, last_24_hours: { succeeded: 0, failed: 0 } };
  const never = { attempts: 0, delivered: 0, exhausted: 0, stopped: 0, last_success_at: null, last_failure_at: null };
  assert.deepEqual((await api.call('GET', path)).data, { ...none, ...never });
  await rest(api, hook, [{}, {}, { state: 'exhausted' }, { state: 'delivered' }]);
  const [one, two] = [new Date(1_795_300_000_000), new Date(1_795_300_060_000)];
  await sql`
    insert into destination_counters values (${app}, ${hook}, 12, 3, 1, 2, ${one}, ${two})`;
  await sql`
    insert into destination_health values (${app}, ${hook}, date_bin('5 minutes', now(), 'epoch'), 4, 8)`;
  await sql`
    insert into pending_deliveries (app, destination_id, notification_id, next_attempt_at)
    values (${app}, ${hook}, ${uuidv7()}, now())`;
  assert.deepEqual((await api.call('GET', path)).data, {
    attempts: 12,
    delivered: 3,
    exhausted: 1,
    stopped: 2,
    pending: 1,
    held: 2,
    last_24_hours: { succeeded: 4, failed: 8 },
    last_success_at: 1_795_300_000,
    last_failure_at: 1_795_300_060,
  });
});

test('an unknown destination is refused as everywhere, that of another kind and application too', async (t) => {
  const api = await historyApi(t);
  const { sql, hook } = api;
  const channel = wireId('ch', hook);
  const ntf = wireId('ntf', uuidv7());
  for (const path of [`/v3/webhooks/${wireId('wh', uuidv7())}`, `/v3/webhooks/x`, `/v3/channels/pubsub/${channel}`]) {
    for (const [method, rest] of [
      ['POST', 'replay'],
      ['GET', 'deliveries'],
      ['GET', `deliveries/${ntf}`],
      ['POST', `deliveries/${ntf}/retry`],
    ] as const) {
      const { status, error } = await api.call(method, `${path}/${rest}`, method === 'POST' ? { since: 1 } : undefined);
      assert.deepEqual([status, error.type], [400, '70000'], `${path}/${rest}`);
    }
  }
  await sql`update destinations set kind = 'pubsub'`;
  assert.equal((await api.call('GET', `/v3/channels/pubsub/${channel}/deliveries`)).status, 200);
});

test('deliveries are listed and shown with every attempt', async (t) => {
  const api = await historyApi(t);
  const { sql, app, hook, name } = api;
  const message = await api.message();
  const now = Date.now();
  const [first = '', second = ''] = await rest(api, hook, [
    { at: now - 2_000, state: 'exhausted', attempts: 8, message },
    { at: now - 1_000, message },
  ]);
  await sql`update deliveries set settled_at = '2026-11-22T10:00:00.9Z'`;
  await sql`
    insert into attempts (app, destination_id, notification_id, attempt, outcome, started_at, duration_ms, answer)
    values (${app}, ${hook}, ${first}, 1, 'dns', '2026-11-22T09:00:00.5Z', 3, 'no such name')`;
  const shown = {
    notification_id: wireId('ntf', first),
    trigger_type: 'message.opened',
    message_id: wireId('msg', message),
    grant_id: api.grantId,
    created_at: seconds(first),
    state: 'exhausted',
    round: 0,
    attempt_count: 8,
    next_attempt_at: null,
    settled_at: 1795341600,
    last_attempt: { outcome: 'dns', status_code: null, started_at: 1795338000 },
  };
  const page = await api.call('GET', `/v3/webhooks/${name}/deliveries?limit=1`);
  assert.deepEqual(
    page.list.map((one) => [one.notification_id, one.last_attempt]),
    [[wireId('ntf', second), null]],
  );
  const rest_ = await api.call('GET', `/v3/webhooks/${name}/deliveries?limit=1&page_token=${page.next}`);
  assert.deepEqual([rest_.list, rest_.next], [[shown], null]);
  const filters = `state=exhausted&trigger_types=message.opened,grant.created&message_id=${wireId('msg', message)}`;
  const filtered = await api.call(
    'GET',
    `/v3/webhooks/${name}/deliveries?${filters}&since=${seconds(first)}&until=${seconds(second) + 1}`,
  );
  assert.deepEqual(filtered.list, [shown]);
  const singular = await api.call('GET', `/v3/webhooks/${name}/deliveries?state=exhausted&trigger_type=message.opened`);
  assert.deepEqual(singular.list, [shown]);
  const none = await api.call('GET', `/v3/webhooks/${name}/deliveries?trigger_type=message.link_clicked`);
  assert.deepEqual(none.list, []);
  const one = await api.call('GET', `/v3/webhooks/${name}/deliveries/${wireId('ntf', first)}`);
  assert.deepEqual(one.data, {
    ...shown,
    attempts: [
      {
        round: 0,
        attempt: 1,
        outcome: 'dns',
        status_code: null,
        answer: 'no such name',
        started_at: 1795338000,
        duration_ms: 3,
      },
    ],
  });
  for (const [query, message] of [
    ['state=lost', /^state must be one of pending, held, exhausted, stopped, delivered$/],
    ['limit=201', /^limit must be a whole number from 1 to 200$/],
    ['message_id=x', /^message_id is not the id of a message$/],
    ['page_token=x', /^page_token must be/],
    ['since=2&until=1', /^until must be later than since$/],
    ['trigger_types=x', /^trigger_types must not contain "x"/],
    ['trigger_type=x', /^trigger_types must not contain "x"/],
    ['since=1795334400000', /^since must be a time in Unix seconds/],
    ['state=', /^state must not be empty$/],
    [
      'grant_id=x',
      /^grant_id is not a known parameter: those are state, trigger_types, trigger_type, message_id, since,/,
    ],
  ] as const) {
    const { status, error } = await api.call('GET', `/v3/webhooks/${name}/deliveries?${query}`);
    assert.equal(status, 400, query);
    assert.match(error.message, message);
  }
});

test('one delivery is retried; what is not there is not found', async (t) => {
  const api = await historyApi(t);
  const { sql, hook, name } = api;
  const [id = ''] = await rest(api, hook, [{ state: 'stopped', attempts: 1 }]);
  const path = `/v3/webhooks/${name}/deliveries/${wireId('ntf', id)}`;
  const { status, data } = await api.call('POST', `${path}/retry`);
  assert.deepEqual([status, data.state, data.round, data.attempt_count], [200, 'pending', 1, 0]);
  assert.equal(api.woken(), 1);
  for (const other of [wireId('ntf', uuidv7()), 'ntf_x', wireId('wh', id)]) {
    const asked = `/v3/webhooks/${name}/deliveries/${other}`;
    for (const answer of [await api.call('GET', asked), await api.call('POST', `${asked}/retry`)]) {
      assert.deepEqual([answer.status, answer.error.type], [404, 'api.not_found_error']);
    }
  }
  await sql`delete from pending_deliveries`;
  const [erased = ''] = await rest(api, hook, [{}]);
  await sql`update notifications set message_id = ${uuidv7()} where id = ${erased}`;
  const gone = await api.call('POST', `/v3/webhooks/${name}/deliveries/${wireId('ntf', erased)}/retry`);
  assert.deepEqual(
    [gone.status, gone.error.message],
    [400, 'notification_id can no longer be sent: what it tells of was erased'],
  );
});

test('notifications are listed, and shown with payload and deliveries', async (t) => {
  const api = await historyApi(t);
  const message = await api.message([], 'offer');
  await api.happen(message, {});
  const [id = ''] = await rest(api, api.hook, [{ message, state: 'delivered', attempts: 3 }]);
  await api.sql`
    insert into attempts (app, destination_id, notification_id, attempt, outcome, status_code, started_at, duration_ms)
    values (${api.app}, ${api.hook}, ${id}, 3, 'ok', 204, '2026-11-22T09:00:00Z', 3)`;
  const shown = {
    id: wireId('ntf', id),
    trigger_type: 'message.opened',
    message_id: wireId('msg', message),
    grant_id: api.grantId,
    created_at: seconds(id),
  };
  for (const query of [
    '',
    `?grant_id=${api.grantId.toUpperCase()}`,
    '?trigger_types=message.opened&trigger_types=x.y',
    '?trigger_type=message.opened',
  ]) {
    const { status, list, next } = await api.call('GET', `/v3/notifications${query}`);
    if (query.includes('x.y')) assert.equal(status, 400);
    else assert.deepEqual([list, next], [[shown], null]);
  }
  assert.match((await api.call('GET', '/v3/notifications?grant_id=kim')).error.message, /^grant_id is not/);
  assert.deepEqual((await api.call('GET', '/v3/notifications?trigger_type=grant.created')).list, []);
  const { data } = await api.call('GET', `/v3/notifications/${wireId('ntf', id)}`);
  const { payload, deliveries, ...rest_ } = data;
  assert.deepEqual(rest_, shown);
  assert.equal(Reflect.get(Object(payload), 'id'), shown.id);
  assert.equal(Reflect.get(Object(payload), 'webhook_delivery_attempt'), 3);
  const settledAt = Reflect.get(Object([deliveries].flat()[0]), 'settled_at');
  assert.ok(Number.isInteger(settledAt));
  assert.deepEqual(deliveries, [
    {
      destination_id: api.name,
      destination_type: 'webhook',
      state: 'delivered',
      round: 0,
      attempt_count: 3,
      next_attempt_at: null,
      settled_at: settledAt,
      last_attempt: { outcome: 'ok', status_code: 204, started_at: 1795338000 },
    },
  ]);
  for (const other of ['ntf_x', wireId('ntf', uuidv7())]) {
    const { status, error } = await api.call('GET', `/v3/notifications/${other}`);
    assert.deepEqual([status, error.type], [404, 'api.not_found_error']);
  }
});

test('what our own routes do not know is refused, not ignored', async (t) => {
  const api = await historyApi(t);
  const { hook, name } = api;
  const [id = ''] = await rest(api, hook, [{}]);
  const ntf = wireId('ntf', id);
  for (const [method, path, message] of [
    ['GET', '/v3/notifications?state=held', /^state is not a known parameter: those are grant_id, trigger_types, /],
    ['GET', '/v3/notifications?grant_id=', /^grant_id must not be empty$/],
    ['GET', `/v3/notifications/${ntf}?full=true`, /^full is not a known parameter: there are none here$/],
    ['GET', `/v3/webhooks/${name}/deliveries/${ntf}?foo=1`, /^foo is not/],
    ['GET', `/v3/webhooks/${name}/counters?since=1`, /^since is not/],
    ['POST', `/v3/webhooks/${name}/deliveries/${ntf}/retry?foo=1`, /^foo is not/],
    ['POST', `/v3/webhooks/${name}/replay?dry_run=true`, /^dry_run is not/],
  ] as const) {
    const body = method === 'POST' ? { since: 1 } : undefined;
    const { status, error } = await api.call(method, path, body);
    assert.deepEqual([status, error.type], [400, 'api.invalid_request_error'], path);
    assert.match(error.message, message);
  }
  assert.equal(api.woken(), 0);
});
