import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { type Sender, startSender, TRACKING_URL } from '../../test/support/sender.ts';
import { updateApplication } from '../grants/applications.ts';
import { expireGrant, findGrant } from '../grants/grants.ts';
import { fromWireId } from '../ids.ts';
import type { OutgoingMail, PracticeCredentials, Provider, SendOutcome } from '../providers/provider.ts';
import { readLinks } from '../tracking/links.ts';
import { linkUrl, ownLink, pixelUrl } from '../tracking/token.ts';

let sender: Sender;
/** What the provider does next; null: it really sends. */
let script: ((mail: OutgoingMail, signal: AbortSignal) => Promise<SendOutcome>) | null = null;

before(async () => {
  sender = await startSender((deps) => {
    const real = deps.providers.practice;
    const practice: Provider<PracticeCredentials> = {
      ...real,
      send: (account, credentials, mail, signal) =>
        script ? script(mail, signal) : real.send(account, credentials, mail, signal),
    };
    return { ...deps, providers: { ...deps.providers, practice }, deadlineMs: 300 };
  });
});
after(async () => {
  await sender.close();
});

const plain = {
  to: [{ email: 'kim@example.com' }],
  subject: 'Hello',
  body: '<p>Hi <a href="https://example.com">x</a></p>',
};
const path = () => `/v3/grants/${sender.grant.id}/messages/send`;
const send = (body: object) => sender.call('POST', path(), { ...plain, ...body });
const raw = async (id: unknown) => (await sender.call('GET', `/practice/messages/${id}/raw`)).bytes;

async function stored() {
  const [row] = await sender.database.sql<{ count: string }[]>`select count(*) from messages`;
  return Number(row?.count);
}

async function newest() {
  const [row] = await sender.database.sql<{ id: string; state: string; error: { kind: string } | null }[]>`
    select id, state, error from messages order by id desc limit 1`;
  return row;
}

describe('a message without tracking', () => {
  it('leaves as it was written', async () => {
    const answer = await send({
      body: '<p>“x” <A HREF=https://example.com>y</A>',
      tracking_options: { label: 'only a label' },
    });
    assert.equal(answer.status, 200, answer.text);
    const mail = await PostalMime.parse(await raw(answer.at('data.id')));
    assert.equal(mail.html?.trim(), '<p>“x” <A HREF=https://example.com>y</A>');
    assert.deepEqual(answer.at('data.tracking_options'), {
      opens: false,
      links: false,
      thread_replies: false,
      label: 'only a label',
    });
    assert.doesNotMatch(answer.text, /:null/);
    assert.equal(answer.at('grant_id'), sender.grant.id);
    assert.equal(answer.headers.get('x-request-id'), answer.at('request_id'));
  });

  it('comes from the grant, under its name', async () => {
    const answer = await send({});
    assert.deepEqual(answer.at('data.from'), [{ name: 'Practice Sender', email: 'sender@practice.test' }]);
  });
});

describe('a tracked message', () => {
  it('carries links and a pixel of its own, and the links are kept', async () => {
    const answer = await send({ tracking_options: { opens: true, links: true } });
    const id = fromWireId('msg', String(answer.at('data.id'))) ?? '';
    const html = (await PostalMime.parse(await raw(answer.at('data.id')))).html ?? '';
    assert.match(html, new RegExp(`<a href="${TRACKING_URL}/c/[\\w-]+/[\\w-]+">x</a>`));
    assert.match(html, new RegExp(`<img src="${TRACKING_URL}/o/[\\w-]+\\.gif"`));
    assert.deepEqual((await readLinks(sender.database.sql, [{ app: sender.grant.app, messageId: id }]))[0], [
      'https://example.com',
    ]);
    assert.equal(answer.at('data.body'), plain.body);
  });

  it('leaves an unsubscribe link alone', async () => {
    const answer = await send({
      body: '<a href="https://example.com/out">out</a>',
      custom_headers: [{ name: 'List-Unsubscribe', value: '<mailto:out@example.com>, <https://example.com/out>' }],
      tracking_options: { links: true },
    });
    assert.match((await PostalMime.parse(await raw(answer.at('data.id')))).html ?? '', /"https:\/\/example\.com\/out"/);
  });

  it('tracks quoted links of its own anew, drops its own old pixel, and leaves those of another application', async () => {
    const old = { app: sender.grant.app, grant: sender.grant.serial, message: '019a0000-0000-7000-8000-000000000001' };
    const other = { ...old, app: old.app + 1 };
    const { keys } = sender.deps;
    const foreign = pixelUrl(keys, TRACKING_URL, other);
    const body = `<a href="${linkUrl(keys, TRACKING_URL, { ...old, link: 0 }, 'https://example.com/old')}">x</a><img src="${pixelUrl(keys, TRACKING_URL, old)}"><img src="${foreign}">`;
    const answer = await send({ body, tracking_options: { opens: true, links: true } });
    const html = (await PostalMime.parse(await raw(answer.at('data.id')))).html ?? '';
    const link = ownLink(keys, /href="([^"]+)"/.exec(html)?.[1] ?? '');
    assert.equal(link?.destination, 'https://example.com/old');
    assert.notEqual(link.identity.message, old.message);
    assert.ok(!html.includes(pixelUrl(keys, TRACKING_URL, old)));
    assert.ok(html.includes(foreign));
  });

  it('follows the settings of its application', async () => {
    await updateApplication(sender.database.sql, sender.grant.app, {
      settings: { linkSchemes: ['http'], secretParameters: ['magic'] },
    });
    const body =
      '<a href="http://example.com/a">a</a><a href="http://example.com/?magic=1">b</a><a href="https://example.com/c">c</a>';
    const answer = await send({ body, tracking_options: { links: true } });
    const id = fromWireId('msg', String(answer.at('data.id'))) ?? '';
    assert.deepEqual((await readLinks(sender.database.sql, [{ app: sender.grant.app, messageId: id }]))[0], [
      'http://example.com/a',
    ]);
    await updateApplication(sender.database.sql, sender.grant.app, {
      settings: { linkSchemes: ['https', 'mailto', 'tel'], secretParameters: [] },
    });
  });

  it('in plain text is sent untracked, and says so (D24)', async () => {
    const answer = await send({
      is_plaintext: true,
      body: 'https://example.com',
      tracking_options: { opens: true, links: true, thread_replies: true, label: 'x' },
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.at('warnings.0.type'), 'tracking.plaintext');
    assert.deepEqual(answer.at('data.tracking_options'), {
      opens: false,
      links: false,
      thread_replies: true,
      label: 'x',
    });
    assert.equal((await PostalMime.parse(await raw(answer.at('data.id')))).text?.trim(), 'https://example.com');
  });
});

describe('a refused message', () => {
  const all = { opens: true, links: true, thread_replies: true };
  const open = 'The message has not been sent. Please try resending with open tracking disabled.';
  const reply = 'The message has not been sent. Please try resending with reply tracking disabled.';
  const links = (count: number) => '<a href="https://example.com/">x</a>'.repeat(count);
  const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));

  const refusals: [string, object, number, string, string][] = [
    [
      '101 links',
      { body: links(101), tracking_options: { links: true } },
      400,
      'api.tracking_error',
      'Too many tracking links: 101 exceeds the maximum of 100. Please reduce the number of links in your email.',
    ],
    [
      'a long label with opens',
      { tracking_options: { ...all, label: 'x'.repeat(2049) } },
      400,
      'api.tracking_error',
      open,
    ],
    [
      'a long label with replies',
      { tracking_options: { links: true, thread_replies: true, label: 'x'.repeat(2049) } },
      400,
      'api.tracking_error',
      reply,
    ],
    [
      'a long label alone',
      { tracking_options: { label: 'x'.repeat(2049) } },
      400,
      'api.invalid_request_error',
      'tracking_options.label must have at most 2048 characters.',
    ],
    [
      '51 pairs of metadata',
      { metadata: pairs(51), tracking_options: { opens: true } },
      400,
      'api.tracking_error',
      open,
    ],
    [
      'a long metadata key',
      { metadata: { ['k'.repeat(41)]: 'v' } },
      400,
      'api.invalid_request_error',
      'metadata must have keys of at most 40 characters.',
    ],
    [
      'a long metadata value',
      { metadata: { key1: 'v'.repeat(501) }, tracking_options: { thread_replies: true } },
      400,
      'api.tracking_error',
      reply,
    ],
    [
      'a label that cannot be stored',
      { tracking_options: { opens: true, label: 'nul \0' } },
      400,
      'api.tracking_error',
      open,
    ],
    [
      'a body with a NUL',
      { body: '<p>\0</p>', tracking_options: { opens: true } },
      400,
      'api.invalid_request_error',
      'body must not contain a NUL character',
    ],
    [
      'metadata that cannot be stored',
      { metadata: { key1: 'a\0b' }, tracking_options: { thread_replies: true } },
      400,
      'api.tracking_error',
      reply,
    ],
    [
      'an answer to nothing we know',
      { reply_to_message_id: 'msg_00000000000000000000000000' },
      404,
      'api.not_found_error',
      'reply_to_message_id: no message "msg_00000000000000000000000000" was found in this grant.',
    ],
  ];
  for (const [name, body, status, type, message] of refusals) {
    it(`stores nothing: ${name}`, async () => {
      const before = await stored();
      const answer = await send(body);
      assert.deepEqual([answer.status, answer.at('error.type'), answer.at('error.message')], [status, type, message]);
      assert.equal(await stored(), before);
    });
  }

  it('is none at the limits', async () => {
    const answer = await send({
      body: links(100),
      metadata: { ...pairs(49), ['😀'.repeat(40)]: '😀'.repeat(500) },
      tracking_options: { ...all, label: '😀'.repeat(2048) },
    });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.at('data.tracking_options.label'), '😀'.repeat(2048));
  });

  it('of a sandbox application may not be tracked, in any way (D5)', async () => {
    const { grant, key } = await sender.application('sandbox');
    const to = `/v3/grants/${grant.id}/messages/send`;
    for (const option of ['opens', 'links', 'thread_replies']) {
      const answer = await sender.call('POST', to, { ...plain, tracking_options: { [option]: true } }, key);
      assert.deepEqual(
        [answer.status, answer.at('error.type'), answer.at('error.message')],
        [403, 'api.tracking_error', 'Tracking options are not allowed for trial accounts'],
      );
    }
    const harmless = await sender.call('POST', to, { ...plain, tracking_options: { opens: false, label: 'x' } }, key);
    assert.equal(harmless.status, 200);
  });

  it('of an expired or deleted grant', async () => {
    const { grant, key } = await sender.application('production');
    await expireGrant(sender.database.sql, grant.app, grant.id);
    const to = `/v3/grants/${grant.id}/messages/send`;
    const expired = await sender.call('POST', to, plain, key);
    assert.deepEqual([expired.status, expired.at('error.type')], [401, 'api.authentication_error']);
    const renewed = await sender.call('POST', '/practice/grants', { email: grant.email }, key);
    assert.equal(renewed.at('data.id'), grant.id);
    assert.equal((await sender.call('POST', to, plain, key)).status, 200);
    assert.deepEqual(
      (await sender.call('POST', to, plain)).at('error.type'),
      'grant.not_found',
      'of another application',
    );
    assert.equal((await sender.call('DELETE', `/v3/grants/${grant.id}`, undefined, key)).status, 200);
    assert.equal((await sender.call('POST', to, plain, key)).at('error.type'), 'grant.not_found');
  });
});

describe('what the provider says', () => {
  const outcomes: [SendOutcome, number, string, string][] = [
    [
      { kind: 'rejected', reason: 'no such user', refused: [{ address: 'kim@example.com', reason: '550' }] },
      402,
      'api.provider_error',
      'failed',
    ],
    [{ kind: 'failed', reason: 'disk full' }, 422, 'api.provider_error', 'failed'],
    [{ kind: 'deferred', reason: 'greylisted' }, 503, 'api.provider_error', 'failed'],
    [{ kind: 'throttled', reason: 'slow down', retryAfterSeconds: 30 }, 429, 'api.rate_limit_error', 'failed'],
    [{ kind: 'unreachable', reason: 'refused' }, 503, 'api.provider_error', 'failed'],
    [{ kind: 'unknown', reason: 'cut off' }, 504, 'api.provider_error', 'unknown'],
  ];
  for (const [outcome, status, type, state] of outcomes) {
    it(`${outcome.kind} becomes ${status}`, async () => {
      script = async () => outcome;
      const answer = await send({});
      script = null;
      assert.deepEqual([answer.status, answer.at('error.type')], [status, type]);
      assert.equal(answer.at('error.provider_error.reason'), 'reason' in outcome ? outcome.reason : undefined);
      const row = await newest();
      assert.deepEqual([row?.state, row?.error?.kind], [state, outcome.kind]);
    });
  }

  it('that the mail itself was refused is not told as a refused recipient', async () => {
    script = async () => ({ kind: 'rejected', reason: '554 5.7.1 spam', refused: [] });
    const answer = await send({});
    script = null;
    assert.deepEqual([answer.status, answer.at('error.message')], [402, 'The mail provider refused the message.']);
  });

  it('says when to try again, in a header too', async () => {
    script = async () => ({ kind: 'throttled', reason: 'slow down', retryAfterSeconds: 30 });
    const answer = await send({});
    script = null;
    assert.equal(answer.headers.get('retry-after'), '30');
  });

  it('names the message that may have been sent, under whose id its opens would be told', async () => {
    script = async () => ({ kind: 'unknown', reason: 'cut off' });
    const answer = await send({});
    script = null;
    const [row] = await sender.database.sql<{ id: string }[]>`select id from messages order by id desc limit 1`;
    assert.equal(fromWireId('msg', String(answer.at('error.provider_error.message_id'))), row?.id);
  });

  it('at the end of its time is believed: what was never given is not called unknown', async () => {
    script = (_mail, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve({ kind: 'throttled', reason: 'all connections were busy' }));
      });
    const answer = await send({});
    script = null;
    assert.deepEqual([answer.status, answer.at('error.type')], [429, 'api.rate_limit_error']);
    assert.equal((await newest())?.state, 'failed');
  });

  it('unauthorised expires the grant', async () => {
    const { grant, key } = await sender.application('production');
    script = async () => ({ kind: 'unauthorised', reason: 'password changed' });
    const answer = await sender.call('POST', `/v3/grants/${grant.id}/messages/send`, plain, key);
    script = null;
    assert.equal(answer.status, 403);
    assert.equal((await findGrant(sender.database.sql, grant.app, grant.id))?.state, 'expired');
  });

  it('names recipients that were refused while others were not', async () => {
    script = async (mail) => ({
      kind: 'sent',
      messageId: mail.messageId,
      refused: [{ address: 'lee@example.com', reason: 'mailbox full' }],
    });
    const answer = await send({ cc: [{ email: 'lee@example.com' }] });
    script = null;
    assert.equal(answer.status, 200);
    assert.equal(answer.at('warnings.0.message'), 'lee@example.com did not get the message: mailbox full');
  });

  it('is kept under the Message-ID that the mail really left with', async () => {
    script = async () => ({
      kind: 'sent',
      messageId: '<rewritten@provider.test>',
      providerMessageId: '18ac281f',
      refused: [],
    });
    const sent = await send({});
    script = null;
    for (const reference of ['<rewritten@provider.test>', '18ac281f', String(sent.at('data.id'))]) {
      const answer = await send({ reply_to_message_id: reference });
      const mail = await PostalMime.parse(await raw(answer.at('data.id')));
      assert.equal(mail.inReplyTo, '<rewritten@provider.test>');
      assert.equal(answer.at('data.thread_id'), sent.at('data.thread_id'));
    }
  });

  it('too late is unknown, and is still recorded when it comes', async () => {
    let release: () => void = () => {};
    const silent = new Promise<void>((resolve) => {
      release = resolve;
    });
    script = async (mail) => {
      await silent;
      return { kind: 'sent', messageId: mail.messageId, refused: [] };
    };
    const answer = await send({});
    script = null;
    assert.deepEqual([answer.status, answer.at('error.type')], [504, 'api.provider_error']);
    assert.equal((await newest())?.state, 'unknown');
    release();
    while ((await newest())?.state !== 'sent') await new Promise((resolve) => setImmediate(resolve));
  });

  it('by throwing is unknown, and the bug is not shown', async () => {
    script = async () => {
      throw new Error('secret detail');
    };
    const answer = await send({});
    script = null;
    assert.equal(answer.status, 504);
    assert.doesNotMatch(answer.text, /secret detail/);
    assert.equal((await newest())?.state, 'unknown');
  });

  it('goes to every recipient once, blind copies in the envelope alone', async () => {
    let given: OutgoingMail | null = null;
    script = async (mail) => {
      given = mail;
      return { kind: 'sent', messageId: mail.messageId, refused: [] };
    };
    await send({
      to: [{ email: 'kim@example.com' }],
      cc: [{ email: 'KIM@example.com' }],
      bcc: [{ email: 'blind@example.com' }],
      from: [{ email: 'alias@practice.test' }],
    });
    script = null;
    const { envelope, raw: bytes } = given ?? { envelope: null, raw: Buffer.alloc(0) };
    assert.deepEqual(envelope, { from: 'sender@practice.test', to: ['kim@example.com', 'blind@example.com'] });
    assert.doesNotMatch(String(bytes), /blind/);
  });
});
