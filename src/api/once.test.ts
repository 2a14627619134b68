import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { expireGrant } from '../grants/grants.ts';
import type { PracticeCredentials, Provider, SendOutcome } from '../providers/provider.ts';
import { pruneIdempotentRequests } from '../send/idempotent-requests.ts';

let sender: Sender;
/** What the provider says next; null: it really sends. */
let script: (() => Promise<SendOutcome>) | null = null;
/** Asked before a mail is reserved; who waits here is as good as frozen. */
let gate: ((subject: string) => Promise<void>) | null = null;

before(async () => {
  sender = await startSender((deps) => {
    const real = deps.providers.practice;
    const practice: Provider<PracticeCredentials> = {
      ...real,
      send: (account, credentials, mail, signal) => (script ? script() : real.send(account, credentials, mail, signal)),
    };
    const ledger: typeof deps.ledger = {
      ...deps.ledger,
      async reserve(reservation) {
        await gate?.(reservation.message.subject);
        return await deps.ledger.reserve(reservation);
      },
    };
    return { ...deps, ledger, providers: { ...deps.providers, practice }, deadlineMs: 300 };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(() => {
  script = null;
  gate = null;
});

const kim = { email: 'kim@example.com' };
let keys = 0;
const newKey = (): string => `key-${++keys}`;

interface Replied {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
  readonly error: Record<string, unknown>;
}

async function post(
  key: string | null,
  body: object | string,
  { grant = String(sender.grant.id), apiKey = sender.key, query = '' } = {},
): Promise<Replied> {
  const response = await fetch(`${sender.url}/v3/grants/${grant}/messages/send${query}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      ...(key !== null && { 'idempotency-key': key }),
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const answer = JSON.parse(await response.text());
  return { status: response.status, headers: response.headers, body: answer, error: answer.error };
}

const mailOf = (subject: string, change: object = {}): object => ({ to: [kim], subject, body: '<p>Hi</p>', ...change });
/** Mails of this subject that lie in the practice mailboxes. */
async function sent(subject: string): Promise<number> {
  const rows = await sender.database.sql`
    select from messages m join practice_messages p on p.message_id = m.message_id
    where m.subject = ${subject} and p.folder = 'SENT'`;
  return rows.length;
}
const withoutId = ({ request_id: _, ...rest }: Record<string, unknown>): object => rest;
const idOf = (answer: Replied): unknown => Reflect.get(Object(answer.body.data), 'id');
/** As after a node died between the send and its answer. */
async function forget(key: string): Promise<void> {
  await sender.database.sql`
    update idempotent_requests set status = null, answer = null, answered_at = null where key = ${key}`;
}
async function age(key: string, minutes: number): Promise<void> {
  await sender.database.sql`
    update idempotent_requests set started_at = started_at - ${minutes}::float8 * interval '1 minute' where key = ${key}`;
}
async function settleAs(subject: string, state: string, error: object | null): Promise<void> {
  await sender.database.sql`
    update messages set state = ${state}, error = ${error === null ? null : sender.database.sql.json({ ...error })}
    where subject = ${subject}`;
}

describe('the header', () => {
  it('may have 256 visible ASCII characters', async () => {
    const key = '!~'.repeat(128);
    assert.equal((await post(key, mailOf('longest key'))).status, 200);
    assert.equal((await post(key, mailOf('longest key'))).headers.get('idempotent-response'), 'true');
  });

  for (const [name, key, message] of [
    ['too long', 'x'.repeat(257), /^Idempotency-Key must be 256 characters or fewer\.$/],
    ['empty', '', /^Idempotency-Key must be 1 to 256 visible ASCII characters\.$/],
    ['with a space', 'a b', /visible ASCII/],
    ['not ASCII', 'schlüssel', /visible ASCII/],
  ] as const) {
    it(`is refused ${name}, and nothing is sent`, async () => {
      const answer = await post(key, mailOf(`key ${name}`));
      assert.equal(answer.status, 400);
      assert.equal(answer.error.type, 'api.invalid_idempotency_key');
      assert.match(String(answer.error.message), message);
      assert.equal(await sent(`key ${name}`), 0);
    });
  }
});

describe('a repeated request', () => {
  it('is answered as the first was, under an id of its own, and sends nothing', async () => {
    const key = newKey();
    const first = await post(key, mailOf('twice', { metadata: { key1: 'ä' } }));
    const second = await post(key, mailOf('twice', { metadata: { key1: 'ä' } }));
    assert.equal(first.status, 200);
    assert.equal(second.status, 200);
    assert.deepEqual(withoutId(second.body), withoutId(first.body));
    assert.notEqual(second.body.request_id, first.body.request_id);
    assert.equal(second.body.request_id, second.headers.get('x-request-id'));
    assert.equal(first.headers.get('idempotent-response'), null);
    assert.equal(second.headers.get('idempotent-response'), 'true');
    assert.equal(second.headers.get('content-type'), first.headers.get('content-type'));
    assert.equal(await sent('twice'), 1);
  });

  it('without the header sends again', async () => {
    await post(null, mailOf('no key'));
    const second = await post(null, mailOf('no key'));
    assert.equal(second.headers.get('idempotent-response'), null);
    assert.equal(await sent('no key'), 2);
  });

  it('may order and space its body, and name its grant, in another way', async () => {
    const key = newKey();
    await post(key, '{"to":[{"name":"Kim","email":"kim@example.com"}],"subject":"order","metadata":{"a":"1","b":"2"}}');
    const second = await post(
      key,
      ' {"metadata": {"b":"2", "a":"1"},\n "subject":"\\u006frder", "to": [{"email":"kim@example.com","name":"Kim"}]}',
      { grant: encodeURIComponent(sender.grant.email) },
    );
    assert.equal(second.headers.get('idempotent-response'), 'true', JSON.stringify(second.body));
    assert.equal(await sent('order'), 1);
  });

  for (const [name, change, query] of [
    ['in its subject', { subject: 'another' }, ''],
    ['in the order of a list', { to: [{ email: 'b@example.com' }, kim] }, ''],
    ['in an attachment', { attachments: [{ filename: 'a', content_type: 'text/plain', content: 'Yg==' }] }, ''],
    ['in its query', {}, '?fields=include_headers'],
  ] as const) {
    it(`that differs ${name} is refused, and the first answer stays`, async () => {
      const key = newKey();
      const mail = mailOf(`differs ${name}`, {
        to: [kim, { email: 'b@example.com' }],
        attachments: [{ filename: 'a', content_type: 'text/plain', content: 'YQ==' }],
      });
      await post(key, mail);
      const other = await post(key, { ...mail, ...change }, { query });
      assert.equal(other.status, 409);
      assert.equal(other.error.type, 'api.invalid_idempotent_request');
      assert.equal((await post(key, mail)).headers.get('idempotent-response'), 'true');
      assert.equal(await sent(`differs ${name}`), 1);
    });
  }

  it('of another application or grant is another request', async () => {
    const key = newKey();
    const other = await sender.application('production');
    const answers = [
      await post(key, mailOf('apart')),
      await post(key, mailOf('apart'), { grant: other.grant.id, apiKey: other.key }),
    ];
    for (const answer of answers) assert.equal(answer.headers.get('idempotent-response'), null);
    assert.equal(await sent('apart'), 2);
  });

  it('an hour later is a new one, and the old answer is dropped in time', async () => {
    const key = newKey();
    const first = await post(key, mailOf('an hour'));
    await age(key, 59);
    await pruneIdempotentRequests(sender.database.sql);
    assert.equal(idOf(await post(key, mailOf('an hour'))), idOf(first));
    await age(key, 2);
    const third = await post(key, mailOf('an hour', { body: 'changed' }));
    assert.notEqual(idOf(third), idOf(first));
    assert.equal(third.headers.get('idempotent-response'), null);
    await age(key, 61);
    assert.equal(await pruneIdempotentRequests(sender.database.sql), 1);
  });
});

it('a hundred at once send one mail', async () => {
  const key = newKey();
  const answers = await Promise.all(Array.from({ length: 100 }, () => post(key, mailOf('hundred'))));
  const fresh = answers.filter(({ status, headers }) => status === 200 && !headers.has('idempotent-response'));
  assert.equal(fresh.length, 1);
  for (const answer of answers) {
    if (answer.status === 200) assert.equal(idOf(answer), idOf(fresh[0] ?? answer));
    else {
      assert.equal(answer.status, 409);
      assert.equal(answer.error.type, 'api.concurrent_idempotent_request');
      assert.ok(Number(answer.headers.get('retry-after')) > 0);
    }
  }
  assert.equal(await sent('hundred'), 1);
});

describe('a failure that came of the mail is kept', () => {
  const refused = [{ address: 'kim@example.com', reason: '550 no' }];
  const outcomes: [number, SendOutcome][] = [
    [402, { kind: 'rejected', reason: '550 no', refused }],
    [403, { kind: 'unauthorised', reason: '535 no' }],
    [422, { kind: 'failed', reason: 'odd' }],
    [504, { kind: 'unknown', reason: 'silence' }],
  ];
  for (const [status, outcome] of outcomes) {
    it(String(status), async () => {
      const key = newKey();
      let asked = 0;
      script = async () => {
        asked += 1;
        return outcome;
      };
      const mail = mailOf(`kept ${status}`);
      const first = await post(key, mail);
      await sender.database.sql`update grants set state = 'valid'`; // 403 expired it
      const second = await post(key, mail);
      assert.equal(first.status, status);
      assert.equal(second.status, status);
      assert.deepEqual(withoutId(second.body), withoutId(first.body));
      assert.equal(second.body.request_id, second.headers.get('x-request-id'));
      assert.equal(second.headers.get('idempotent-response'), 'true');
      assert.equal(asked, 1);
    });
  }

  it('404, and 400', async () => {
    for (const [status, change] of [
      [404, { reply_to_message_id: 'nobody' }],
      [400, { metadata: { ['x'.repeat(41)]: '' } }],
    ] as const) {
      const key = newKey();
      const first = await post(key, mailOf('refused', change));
      const second = await post(key, mailOf('refused', change));
      assert.equal(first.status, status);
      assert.deepEqual(withoutId(second.body), withoutId(first.body));
      assert.equal(second.headers.get('idempotent-response'), 'true');
    }
  });
});

describe('after "again later" the key is free', () => {
  const outcomes: [number, SendOutcome][] = [
    [429, { kind: 'throttled', reason: 'slowly', retryAfterSeconds: 7 }],
    [503, { kind: 'unreachable', reason: 'down' }],
    [503, { kind: 'deferred', reason: '451 later' }],
  ];
  for (const [status, outcome] of outcomes) {
    it(`${status} ${outcome.kind}`, async () => {
      const key = newKey();
      const subject = `free ${outcome.kind}`;
      script = async () => outcome;
      assert.equal((await post(key, mailOf(subject))).status, status);
      assert.equal((await post(key, mailOf(subject))).status, status);
      script = null;
      const third = await post(key, mailOf(subject, { body: 'changed' }));
      assert.equal(third.status, 200);
      assert.equal(third.headers.get('idempotent-response'), null);
      assert.equal((await post(key, mailOf(subject, { body: 'changed' }))).headers.get('idempotent-response'), 'true');
      assert.equal(await sent(subject), 1);
    });
  }

  it('401 of a grant that is authenticated again', async () => {
    const key = newKey();
    const { app, id } = sender.grant;
    await expireGrant(sender.database.sql, app, id);
    assert.equal((await post(key, mailOf('expired'))).status, 401);
    await sender.database.sql`update grants set state = 'valid' where id = ${id}`;
    assert.equal((await post(key, mailOf('expired'))).status, 200);
    assert.equal(await sent('expired'), 1);
  });
});

describe('an answer that was lost with its node', () => {
  it('is found out from the message that was sent', async () => {
    for (const query of ['', '?fields=include_headers']) {
      const key = newKey();
      const mail = mailOf(`lost ${query}`, {
        cc: [{ email: 'cc@example.com' }],
        bcc: [{ email: 'bcc@example.com' }],
        tracking_options: { opens: true, links: true, label: 'l' },
        metadata: { key1: 'a' },
        attachments: [{ filename: 'a', content_type: 'text/plain', content: 'YQ==' }],
      });
      const first = await post(key, mail, { query });
      await forget(key);
      const second = await post(key, mail, { query });
      assert.equal(second.status, 200);
      assert.deepEqual(steady(second.body.data), steady(first.body.data));
      const third = await post(key, mail, { query });
      assert.deepEqual(withoutId(third.body), withoutId(second.body), 'and is kept then');
      assert.equal(await sent(`lost ${query}`), 1);
    }
  });

  for (const [state, error, status] of [
    ['sending', null, 409],
    ['unknown', { kind: 'unknown', reason: 'silence' }, 409],
    ['failed', { kind: 'rejected', reason: '550 no' }, 402],
    ['failed', { kind: 'unauthorised', reason: '535 no' }, 403],
    ['failed', { kind: 'failed', reason: 'odd' }, 422],
    ['failed', { kind: 'absent', reason: 'the provider never took the mail' }, 422],
  ] as const) {
    it(`tells of a message that is ${state} (${error?.kind})`, async () => {
      const key = newKey();
      const subject = `left ${state} ${error?.kind}`;
      await post(key, mailOf(subject));
      await forget(key);
      await age(key, 5);
      await settleAs(subject, state, error);
      const again = await post(key, mailOf(subject));
      assert.equal(again.status, status);
      if (status === 409) {
        assert.equal(again.error.type, 'api.concurrent_idempotent_request');
        assert.ok(Number(again.headers.get('retry-after')) > 0);
        const named = Reflect.get(Object(again.error.provider_error), 'message_id');
        assert.equal(/^msg_/.test(String(named)), state === 'unknown', 'names the message that is looked up');
        await settleAs(subject, 'sent', null);
        assert.equal((await post(key, mailOf(subject))).status, 200);
      } else {
        assert.equal(Reflect.get(Object(again.error.provider_error), 'reason'), error?.reason);
        assert.deepEqual(withoutId((await post(key, mailOf(subject))).body), withoutId(again.body));
      }
      assert.equal(await sent(subject), 1);
    });
  }

  it('is not waited for where the provider could not be reached', async () => {
    const key = newKey();
    script = async () => ({ kind: 'unreachable', reason: 'down' });
    await post(key, mailOf('left unreachable'));
    script = null;
    // As if the node had died before it freed the key.
    await sender.database.sql`
      update idempotent_requests set answered_at = null,
        message_id = (select id from messages where subject = 'left unreachable') where key = ${key}`;
    assert.equal((await post(key, mailOf('left unreachable'))).status, 200);
    assert.equal(await sent('left unreachable'), 1);
  });
});

/** Frozen before it reserved its message: `woken` lets it go on. */
async function frozen(key: string, subject: string): Promise<{ woken(): Promise<Replied> }> {
  const woken = promised<void>();
  const there = promised<void>();
  gate = async () => {
    there.resolve();
    await woken.promise;
  };
  const answer = post(key, mailOf(subject));
  await there.promise;
  gate = null;
  return {
    woken() {
      woken.resolve();
      return answer;
    },
  };
}

describe('a request that was thought dead', () => {
  it('keeps its key for half a minute, and does not send after it was taken over', async () => {
    const key = newKey();
    const first = await frozen(key, 'taken over');
    const soon = await post(key, mailOf('taken over'));
    assert.equal(soon.status, 409);
    assert.equal(soon.error.type, 'api.concurrent_idempotent_request');
    await age(key, 0.6);
    const second = await post(key, mailOf('taken over'));
    assert.equal(second.status, 200);
    const woken = await first.woken();
    assert.equal(woken.status, 409);
    assert.equal(woken.error.type, 'api.concurrent_idempotent_request');
    const third = await post(key, mailOf('taken over'));
    assert.equal(idOf(third), idOf(second));
    assert.equal(third.headers.get('idempotent-response'), 'true');
    assert.equal(await sent('taken over'), 1);
  });

  it('that wakes before the other one sends, is the one that sent', async () => {
    const key = newKey();
    const first = await frozen(key, 'overtaken');
    await age(key, 0.6);
    const second = await frozen(key, 'overtaken');
    const answered = await first.woken();
    assert.equal(answered.status, 200);
    assert.equal((await second.woken()).status, 409);
    const third = await post(key, mailOf('overtaken'));
    assert.equal(third.status, 200);
    assert.equal(idOf(third), idOf(answered));
    assert.equal(await sent('overtaken'), 1);
  });

  it('does not send beside one that came after a freed key', async () => {
    const key = newKey();
    const first = await frozen(key, 'freed between');
    await age(key, 0.6);
    // The one that takes it over fails before it has reserved anything.
    gate = async () => {
      throw Object.assign(new Error('gone'), { code: 'CONNECTION_CLOSED' });
    };
    assert.equal((await post(key, mailOf('freed between'))).status, 503);
    gate = null;
    const third = await post(key, mailOf('freed between'));
    assert.equal(third.status, 200);
    assert.equal((await first.woken()).status, 409);
    assert.equal(await sent('freed between'), 1);
  });

  it('that many take over at once is taken over by one', async () => {
    const key = newKey();
    const first = await frozen(key, 'many');
    await age(key, 0.6);
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(key, mailOf('many'))));
    assert.ok(answers.every(({ status }) => status === 200 || status === 409));
    assert.equal(new Set(answers.filter(({ status }) => status === 200).map(idOf)).size, 1);
    await first.woken();
    assert.equal(await sent('many'), 1);
  });
});

it('sends that are under way are waited for by nobody', async () => {
  const key = newKey();
  const provider = promised<SendOutcome>();
  let asked = 0;
  script = () => {
    asked += 1;
    return provider.promise;
  };
  const first = post(key, mailOf('under way'));
  await eventually('the provider is asked', () => (asked === 1 ? true : undefined));
  await age(key, 1);
  assert.equal((await post(key, mailOf('under way'))).status, 409);
  provider.resolve({ kind: 'failed', reason: 'odd' });
  assert.equal((await first).status, 422);
  assert.equal(asked, 1);
});

/** But for the boundary, all of it is the same; the second is that of the row. */
function steady(data: unknown): unknown {
  const { date, headers, ...rest } = Object(data);
  assert.ok(Number.isInteger(date));
  return { ...rest, headers: (headers ?? []).filter(({ name }: { name: string }) => name !== 'Date') };
}

function promised<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
