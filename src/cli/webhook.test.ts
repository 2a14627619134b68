import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type NotifyGround, notifyGround } from '../../test/support/notify-ground.ts';
import { rest } from '../../test/support/resting.ts';
import { createApplication } from '../grants/applications.ts';
import { uuidTime, uuidv7, wireId } from '../ids.ts';
import { runCommand } from './run.ts';

interface Shop extends NotifyGround {
  readonly hook: string;
  /** Its wire id. */
  readonly name: string;
  telltale(...args: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }>;
  /** What a successful command prints as JSON. */
  json(...args: string[]): Promise<unknown>;
}

async function shop(t: { after(release: () => Promise<void>): void }): Promise<Shop> {
  const ground = await notifyGround();
  t.after(() => ground.drop());
  const [where] = await ground.sql<{ name: string; folder: string; port: string; user: string }[]>`
    select current_database() as name, current_setting('unix_socket_directories') as folder,
      current_setting('port') as port, current_user as user`;
  assert.ok(where);
  const env = {
    DATABASE_URL: `postgres:///${where.name}?host=${where.folder}&port=${where.port}&user=${where.user}`,
    TELLTALE_SECRET: 'a secret long enough for tests',
  };
  const hook = (await ground.destination('https://receiver.test/hook')).id;
  const telltale: Shop['telltale'] = async (...args) => {
    const said = { out: '', err: '' };
    const code = await runCommand({
      args,
      env,
      out: (text) => {
        said.out += text;
      },
      err: (text) => {
        said.err += text;
      },
    });
    return { code, ...said };
  };
  return {
    ...ground,
    hook,
    name: wireId('wh', hook),
    telltale,
    async json(...args) {
      const { code, out, err } = await telltale(...args, '--json');
      assert.deepEqual({ code, err }, { code: 0, err: '' });
      return JSON.parse(out);
    },
  };
}

test('webhooks and channels of an application are listed', async (t) => {
  const ground = await shop(t);
  const { sql, name, json, telltale, destination } = ground;
  const { id } = await destination('projects/p/topics/t', { status: 'paused', triggers: ['grant.expired'] });
  await sql`update destinations set kind = 'pubsub' where id = ${id}`;
  const listed = [
    {
      id: name,
      application_id: ground.applicationId,
      type: 'webhook',
      status: 'active',
      address: 'https://receiver.test/hook',
      trigger_types: ['message.opened', 'message.link_clicked'],
    },
    {
      id: wireId('ch', id),
      application_id: ground.applicationId,
      type: 'pubsub',
      status: 'paused',
      address: 'projects/p/topics/t',
      trigger_types: ['grant.expired'],
    },
  ];
  assert.deepEqual(await json('webhook', 'list', 'shop'), listed);
  assert.deepEqual(await json('webhook', 'list'), listed);
  const other = await createApplication(sql, { name: 'other', environment: 'production' });
  assert.deepEqual(await json('webhook', 'list', 'other'), []);
  await sql`update destinations set app = ${other?.serial ?? 0} where id = ${id}`;
  assert.deepEqual(await json('webhook', 'list', 'shop'), listed.slice(0, 1));
  assert.deepEqual(await json('webhook', 'list'), [listed[0], { ...listed[1], application_id: other?.id }]);
  assert.match(
    (await telltale('webhook', 'list')).out,
    /^ID +APPLICATION +STATUS +ADDRESS +TRIGGERS\nwh_\w+ +shop .*\nch_\w+ +other /,
  );
  assert.deepEqual(await json('webhook', 'deliveries', wireId('ch', id)), []);
  assert.equal((await telltale('webhook', 'deliveries', wireId('wh', id))).code, 1);
});

test('deliveries are listed, replayed by time and retried one by one', async (t) => {
  const ground = await shop(t);
  const { sql, hook, name, json, telltale } = ground;
  const now = Date.now();
  const [old = '', held = '', sent = ''] = await rest(ground, hook, [
    { at: now - 3_600_000 },
    { at: now - 2_000 },
    { at: now - 1_000, state: 'delivered', attempts: 1 },
  ]);
  const states = async (...filter: string[]): Promise<unknown> =>
    [await json('webhook', 'deliveries', name, ...filter)]
      .flat()
      .map((one) => [Reflect.get(Object(one), 'notification_id'), Reflect.get(Object(one), 'state')]);
  const [ntfOld, ntfHeld, ntfSent] = [old, held, sent].map((id) => wireId('ntf', id));
  assert.deepEqual(await states(), [
    [ntfSent, 'delivered'],
    [ntfHeld, 'held'],
    [ntfOld, 'held'],
  ]);
  assert.deepEqual(await states('limit=1'), [[ntfSent, 'delivered']]);
  assert.deepEqual(await states('state=held', `until=${new Date(now - 60_000).toISOString()}`), [[ntfOld, 'held']]);
  assert.match((await telltale('webhook', 'deliveries', name)).out, /^NOTIFICATION +TRIGGER +MADE +STATE/);

  const since = `since=${new Date(now - 60_000).toISOString()}`;
  assert.deepEqual(await json('webhook', 'replay', name, since, 'states=held,exhausted'), {
    id: name,
    queued: 1,
    gone: 0,
  });
  assert.equal((await telltale('webhook', 'replay', name, since)).out, '0 queued to be sent again.\n');
  assert.deepEqual(await states(`since=${Math.floor(uuidTime(held) / 1000)}`), [
    [ntfSent, 'delivered'],
    [ntfHeld, 'pending'],
  ]);

  const retried = await json('webhook', 'retry', name, String(ntfSent));
  assert.deepEqual([Reflect.get(Object(retried), 'state'), Reflect.get(Object(retried), 'round')], ['pending', 1]);
  assert.equal((await sql`select from pending_deliveries`).length, 2);
  assert.match((await telltale('webhook', 'retry', name, String(ntfHeld))).out, /^It is sent within/);
  await sql`update pending_deliveries set claimed_until = now() + interval '1 minute'`;
  assert.match((await telltale('webhook', 'retry', name, String(ntfHeld))).out, /^It is being sent/);
});

test('a list says what came of each, that it goes on and how; one delivery has its attempts', async (t) => {
  const ground = await shop(t);
  const { sql, app, hook, name, json, telltale } = ground;
  const now = Date.now();
  const ids = await rest(
    ground,
    hook,
    [3, 2, 1].map((ago) => ({ at: now - ago * 1_000, state: 'exhausted', attempts: 2 })),
  );
  const [old = '', mid = '', young = ''] = ids.map((id) => wireId('ntf', id));
  for (const [attempt, outcome, status] of [
    [1, 'timeout', null],
    [2, 'status', 503],
  ] as const) {
    await sql`
      insert into attempts (app, destination_id, notification_id, attempt, outcome, status_code, started_at, duration_ms,
        answer)
      values (${app}, ${hook}, ${ids[2] ?? ''}, ${attempt}, ${outcome}, ${status}, '2026-11-22T09:00:00.5Z', 12,
        ${`no\u001b${'x'.repeat(300)}`})`;
  }
  const deliveries = (...filter: string[]) => telltale('webhook', 'deliveries', name, ...filter);
  const first = (await deliveries('state=exhausted', 'limit=1')).out;
  assert.match(first, /^NOTIFICATION .* LAST OUTCOME +LAST ATTEMPT +NEXT ATTEMPT\n/);
  assert.match(first, new RegExp(`\n${young} .* status 503 +2026-11-22T09:00:00\\.500Z\n`));
  const call = `webhook deliveries ${name} state=exhausted limit=1 before=${young}`;
  assert.ok(first.endsWith(`\n\nThere are more: ${call}\n`), first);
  const second = (await telltale(...call.split(' '))).out;
  assert.match(second, new RegExp(`\n${mid} `));
  assert.ok(second.endsWith(`state=exhausted limit=1 before=${mid}\n`), second);
  const last = (await deliveries('limit=1', `before=${mid}`)).out;
  assert.match(last, new RegExp(`\n${old} `));
  assert.doesNotMatch(last, /There are more/);
  const told = Object(await json('webhook', 'attempts', name, young));
  assert.deepEqual(told.last_attempt, { outcome: 'status', status_code: 503, started_at: 1795338000 });
  assert.deepEqual(
    told.attempts.map((one: object) => [Reflect.get(one, 'attempt'), Reflect.get(one, 'outcome')]),
    [
      [1, 'timeout'],
      [2, 'status'],
    ],
  );
  const { out } = await telltale('webhook', 'attempts', name, young);
  assert.match(
    out,
    /^trigger +message\.opened\nstate +exhausted\nnext attempt +-\n\nROUND +ATTEMPT +STARTED +MS +OUTCOME/,
  );
  assert.match(out, /\n0 +1 +2026-11-22T09:00:00\.500Z +12 +timeout +no\?x+…\n0 +2 .* status 503 +no/);
  assert.match((await telltale('webhook', 'attempts', name, old)).out, /There was no attempt yet\.\n$/);
});

test('a replay of more than one call takes it all', async (t) => {
  const ground = await shop(t);
  const { hook, name, json } = ground;
  await rest(
    ground,
    hook,
    Array.from({ length: 100_001 }, () => ({})),
  );
  assert.deepEqual(await json('webhook', 'replay', name, 'since=2026-01-01'), { id: name, queued: 100_001, gone: 0 });
});

test('it is told what cannot be done', async (t) => {
  const ground = await shop(t);
  const { sql, hook, name, telltale } = ground;
  const [id = ''] = await rest(ground, hook, [{}]);
  const refused = async (...args: string[]): Promise<string> => {
    const { code, err } = await telltale('webhook', ...args);
    assert.equal(code, 1, args.join(' '));
    return err;
  };
  assert.match(await refused('deliveries', wireId('wh', uuidv7())), /^There is no webhook "wh_.*; see: webhook list/);
  assert.match(await refused('retry', name, 'ntf_x'), /^Nothing called "ntf_x" was or is to be delivered to wh_/);
  assert.match(await refused('retry', name, wireId('ntf', uuidv7())), /^Nothing called/);
  for (const none of ['ntf_x', wireId('ntf', uuidv7())]) {
    assert.match(await refused('attempts', name, none), /^Nothing called "ntf_.* was or is to be delivered to wh_/);
  }
  assert.match((await telltale('webhook', 'retry', name)).err, /\nUsage: webhook retry WEBHOOK NOTIFICATION\n/);
  await sql`update destinations set status = 'paused'`;
  assert.match(await refused('replay', name, 'since=0'), /is paused: activate it first/);
  assert.match(await refused('retry', name, wireId('ntf', id)), /is paused: activate it first/);
  const wrong = [
    ['replay', name],
    ['replay', name, 'since=yesterday'],
    ['replay', name, 'since=2026-11-22T08:00'],
    ['replay', name, 'since=2026-02-31T00:00Z', 'until'],
    ['replay', name, 'since=0', 'states=lost'],
    ['deliveries', name, 'state=lost'],
    ['deliveries', name, 'limit=0'],
    ['deliveries', name, 'before=ntf_x'],
    ['attempts', name],
    ['deliveries', name, 'triggers=message.read'],
    ['deliveries', name, 'colour=red'],
    ['retry', name],
  ];
  for (const args of wrong) assert.equal((await telltale('webhook', ...args)).code, 2, args.join(' '));
});
