import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { type Called, type Sender, startSender, TRACKING_URL } from '../../test/support/sender.ts';
import { practiceStore } from '../grants/practice-mail.ts';
import { uuidv7 } from '../ids.ts';

let sender: Sender;
let cookie = '';
before(async () => {
  sender = await startSender();
  const signIn = await fetch(sender.url + (await sender.signInPath()), { redirect: 'manual' });
  cookie = signIn.headers.get('set-cookie')?.split(';')[0] ?? '';
});
after(async () => {
  await sender.close();
});

async function sent(change: object = {}, key = sender.key, grant: string = sender.grant.id): Promise<string> {
  const body = { to: [{ name: 'Kim', email: 'kim@example.com' }], subject: 'Hello', body: '<p>Hi</p>', ...change };
  const answer = await sender.call('POST', `/v3/grants/${grant}/messages/send`, body, key);
  assert.equal(answer.status, 200, answer.text);
  return String(answer.at('data.id'));
}

async function newest(folder = 'SENT'): Promise<string> {
  return String((await sender.call('GET', `/practice/messages?folder=${folder}`)).at('data.0.id'));
}

async function mail(id: string) {
  return await PostalMime.parse((await sender.call('GET', `/practice/messages/${id}/raw`)).bytes);
}

const visit = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(sender.url + path, { method, headers: { cookie, ...headers } });

describe('the list', () => {
  it('is newest first and holds sent mail', async () => {
    await sent({ subject: 'first' });
    const id = await sent({ subject: 'second', bcc: [{ email: 'blind@example.com' }] });
    await sender.call('POST', `/practice/messages/${id}/reply`, { text: 'ok' });
    const list = await sender.call('GET', '/practice/messages');
    assert.deepEqual([list.at('data.0.subject'), list.at('data.1.subject')], ['second', 'first']);
    assert.deepEqual(list.at('data.0.from'), [{ name: 'Practice Sender', email: 'sender@practice.test' }]);
    assert.deepEqual(list.at('data.0.to'), [{ name: 'Kim', email: 'kim@example.com' }]);
    assert.equal(typeof list.at('data.0.date'), 'number');
    assert.match(String(list.at('data.0.id')), /^prm_[0-9a-z]{26}$/);
    assert.equal(typeof list.at('request_id'), 'string');
    assert.equal((await sender.call('GET', '/practice/messages?folder=all&limit=1')).at('data.0.folder'), 'INBOX');
    const whole = await sender.call('GET', `/practice/messages/${id}`);
    assert.deepEqual(whole.at('data.envelope'), ['kim@example.com', 'blind@example.com']);
  });

  it('holds drafts only where they are asked for', async () => {
    const store = practiceStore({ sql: sender.database.sql, vault: sender.deps.vault });
    const { app, id: grantId, email } = sender.grant;
    const draft = uuidv7();
    const messageId = `<${draft}.1@practice.test>`;
    const raw = Buffer.from(`Message-ID: ${messageId}\r\nTo: kim@example.com\r\nSubject: Draft\r\n\r\nNot yet`);
    await store.keepDraft({ app, grantId, email }, { draft, version: { messageId, raw } });
    const drafts = await sender.call('GET', '/practice/messages?folder=DRAFTS');
    assert.deepEqual([drafts.at('data.0.folder'), drafts.at('data.0.subject')], ['DRAFTS', 'Draft']);
    for (const query of ['', '?folder=SENT', '?folder=INBOX', '?folder=all']) {
      assert.doesNotMatch((await sender.call('GET', `/practice/messages${query}`)).text, /DRAFTS/, query);
    }
    const id = String(drafts.at('data.0.id'));
    assert.match((await sender.call('GET', `/practice/messages/${id}/view`)).text, /Not yet/);
    assert.equal((await sender.call('POST', `/practice/messages/${id}/reply`, { text: 'No' })).status, 400);
  });

  it('is of the own application by key, of all for the operator, of nobody without either', async () => {
    const other = await sender.application('production');
    const id = await sent({ subject: 'of another' }, other.key, other.grant.id);
    assert.notEqual((await sender.call('GET', '/practice/messages')).at('data.0.subject'), 'of another');
    for (const path of ['', '/raw', '/view', '/attachments/0']) {
      assert.equal((await sender.call('GET', `/practice/messages/${id}${path}`)).status, 404, path);
    }
    assert.equal((await sender.call('POST', `/practice/messages/${id}/reply`, {})).status, 404);
    const all: unknown = await (await visit('/practice/messages')).json();
    assert.equal(Reflect.get(Object(Reflect.get(Object(all), 'data')), '0').subject, 'of another');
    assert.equal((await visit(`/practice/messages/${id}/raw`)).status, 200);
    assert.equal((await sender.call('GET', '/practice/messages', undefined, '')).status, 401);
    assert.equal((await sender.call('GET', '/practice/messages', undefined, 'ttk_wrong')).status, 401);
  });
});

describe('a mail', () => {
  it('is its exact bytes', async () => {
    const id = await sent();
    const raw = await sender.call('GET', `/practice/messages/${id}/raw`);
    const [row] = await sender.database.sql<
      { raw: Buffer }[]
    >`select raw from practice_messages order by id desc limit 1`;
    assert.deepEqual(raw.bytes, row?.raw);
    assert.equal(raw.headers.get('content-type'), 'message/rfc822');
    assert.equal((await sender.call('GET', `/practice/messages/${await newest()}/raw`)).text, raw.text);
  });

  it('that does not exist is a 404', async () => {
    for (const id of ['prm_00000000000000000000000000', 'msg_00000000000000000000000000', 'x', '..%2F..', 'prm_%00']) {
      const answer = await sender.call('GET', `/practice/messages/${id}/raw`);
      assert.deepEqual([answer.status, answer.at('error.type')], [404, 'api.not_found_error'], id);
    }
    const id = await sent();
    for (const index of ['0', '-1', 'x', '1e9']) {
      assert.equal((await sender.call('GET', `/practice/messages/${id}/attachments/${index}`)).status, 404, index);
    }
  });

  it('that quotes a tracked one counts nobody who looks at it', async () => {
    const id = await sent({
      body: '<a href="https://example.com/demo">demo</a>',
      tracking_options: { opens: true, links: true },
    });
    await sender.call('POST', `/practice/messages/${id}/reply`, { text: 'Fine' });
    const answer = await newest('INBOX');
    const ours = new RegExp(`${TRACKING_URL}/[co]/`, 'g');
    const shown = async (mail: string) => (await sender.call('GET', `/practice/messages/${mail}/view`)).text;
    assert.equal((await shown(id)).match(ours)?.length, 2);
    assert.equal(String((await mail(answer)).html).match(ours)?.length, 2);
    assert.doesNotMatch(await shown(answer), ours);
    assert.match(await shown(answer), /Fine[\s\S]*<a href="https:\/\/example\.com\/demo">demo<\/a>/);
  });

  it('gives its attachments as downloads that no browser runs', async () => {
    const id = await sent({
      attachments: [
        { filename: 'evil "é".html', content_type: 'text/html', content: Buffer.from('<script>').toString('base64') },
      ],
    });
    const file = await sender.call('GET', `/practice/messages/${id}/attachments/0`);
    assert.equal(file.text, '<script>');
    assert.equal(file.headers.get('content-type'), 'application/octet-stream');
    assert.equal(file.headers.get('content-disposition'), `attachment; filename*=UTF-8''evil%20%22%C3%A9%22.html`);
    assert.match(file.headers.get('content-security-policy') ?? '', /sandbox/);
  });

  it('with inline pictures shows them within the document', async () => {
    const png = Buffer.from('png');
    const attachments = ['a', 'ab', 'odd+id@x'].map((content_id) => ({
      filename: 'x.png',
      content_type: 'image/png',
      content: png.toString('base64'),
      content_id,
    }));
    const id = await sent({
      body: '<img src="cid:ab"><img src=cid:a><img src="cid:odd%2Bid%40x"><img src="cid:none">',
      attachments,
    });
    const view = await sender.call('GET', `/practice/messages/${id}/view`);
    const data = `data:image/png;base64,${png.toString('base64')}`;
    const shown = `<img src="${data}"><img src=${data}><img src="${data}"><img src="cid:none">`;
    assert.ok(view.text.includes(shown), view.text);
  });
});

describe('what a browser gets', () => {
  it('the page, with a policy that lets nothing in and nobody frame it', async () => {
    for (const [path, type] of [
      ['/practice', 'text/html; charset=utf-8'],
      ['/practice/practice.js', 'text/javascript; charset=utf-8'],
      ['/practice/practice.css', 'text/css; charset=utf-8'],
    ] as const) {
      const answer = await visit(path);
      assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, type]);
      const policy = answer.headers.get('content-security-policy') ?? '';
      for (const rule of [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
      ]) {
        assert.ok(policy.includes(rule), rule);
      }
      assert.doesNotMatch(policy, /unsafe|\*/);
      assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
      assert.equal(answer.headers.get('referrer-policy'), 'no-referrer');
      assert.equal(answer.headers.get('cache-control'), 'no-store');
      if (path === '/practice')
        assert.doesNotMatch(
          await answer.text(),
          /<script(?! type="module" src="\/practice\/)|<style| style=| on[a-z]+=/,
        );
    }
  });

  it('a mail, without scripts, forms, frames and the page around it', async () => {
    const id = await sent({ body: '<script>1</script>' });
    const policy = async (query: string) =>
      (await visit(`/practice/messages/${id}/view${query}`)).headers.get('content-security-policy') ?? '';
    assert.match(await policy(''), /img-src data: http: https:;/);
    assert.match(await policy('?images=false'), /img-src data:;/);
    for (const rule of [
      "default-src 'none'",
      "form-action 'none'",
      "base-uri 'none'",
      "frame-ancestors 'self'",
      'sandbox allow-popups allow-popups-to-escape-sandbox',
    ]) {
      assert.ok((await policy('')).includes(rule), rule);
    }
    assert.doesNotMatch(await policy(''), /script-src|allow-scripts|allow-same-origin|allow-top/);
  });

  it('nothing under a foreign name, and no change from a foreign page', async () => {
    const id = await sent();
    const foreign = await sender.call('POST', `/practice/messages/${id}/reply`, { text: 'x' }, '');
    assert.equal(foreign.status, 401);
    const post = (headers: Record<string, string>) =>
      fetch(`${sender.url}/practice/messages/${id}/reply`, {
        method: 'POST',
        headers: { cookie, 'content-type': 'application/json', ...headers },
        body: '{"text":"x"}',
      });
    assert.equal((await post({ 'sec-fetch-site': 'cross-site' })).status, 403);
    assert.equal((await post({ 'sec-fetch-site': 'same-site' })).status, 403);
    assert.equal((await post({ 'sec-fetch-site': 'same-origin' })).status, 200);
  });
});

describe('an answer', () => {
  const reply = async (id: string, body: object): Promise<Called> =>
    await sender.call('POST', `/practice/messages/${id}/reply`, body);

  it('comes from the reader, in the thread, with the mail quoted pixel and links included', async () => {
    const id = await sent({
      subject: 'Grüße',
      body: '<p>See <a href="https://example.com/demo">demo</a></p>',
      reply_to: [{ name: 'Desk', email: 'desk@practice.test' }],
      tracking_options: { opens: true, links: true, thread_replies: true },
    });
    const original = await mail(id);
    const answer = await reply(id, { text: 'Fine & <good>\nKim' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.at('data.folder'), 'INBOX');
    const got = await mail(String(answer.at('data.id')));
    assert.deepEqual(got.from, { name: 'Kim', address: 'kim@example.com' });
    assert.deepEqual(got.to, [{ name: 'Desk', address: 'desk@practice.test' }]);
    assert.equal(got.subject, 'Re: Grüße');
    assert.equal(got.inReplyTo, original.messageId);
    assert.equal(got.references, original.messageId);
    assert.equal(got.messageId, answer.at('data.message_id'));
    assert.match(got.html ?? '', /^<div>Fine &#38; &#60;good&#62;<br>Kim<\/div>/);
    assert.equal(got.html?.match(new RegExp(`${TRACKING_URL}/c/`, 'g'))?.length, 1);
    assert.equal(got.html?.match(new RegExp(`${TRACKING_URL}/o/`, 'g'))?.length, 1);
    assert.match(got.text ?? '', /^Fine & <good>\nKim\n\nOn .*, Practice Sender wrote:\n> See/);
  });

  it('may come from somebody else, as a machine, in other words and without quote', async () => {
    const id = await sent();
    const answer = await reply(id, {
      html: '<b>Away</b>',
      from: [{ name: 'Lee', email: 'lee@example.com' }],
      headers: [{ name: 'Auto-Submitted', value: 'auto-replied' }],
      quote: false,
    });
    const got = await mail(String(answer.at('data.id')));
    assert.deepEqual(got.from, { name: 'Lee', address: 'lee@example.com' });
    assert.equal(got.headers.find(({ key }) => key === 'auto-submitted')?.value, 'auto-replied');
    assert.equal(got.html?.trim(), '<b>Away</b>');
    const short = await reply(id, { text: 'x', from: 'max@example.com', headers: { 'X-Autoreply': 'yes' } });
    const second = await mail(String(short.at('data.id')));
    assert.deepEqual(second.from, { name: '', address: 'max@example.com' });
    assert.equal(second.headers.find(({ key }) => key === 'x-autoreply')?.value, 'yes');
  });

  it('to an answer keeps the whole thread', async () => {
    const first = await sent();
    const answer = await reply(first, { text: 'one' });
    const second = await sent({ reply_to_message_id: answer.at('data.message_id') });
    const got = await mail(String((await reply(second, { text: 'two' })).at('data.id')));
    assert.equal(got.references, `${answer.at('data.message_id')} ${(await mail(second)).messageId}`);
  });

  it('that cannot be is refused', async () => {
    const id = await sent();
    const received = String((await reply(id, { text: 'x' })).at('data.id'));
    const refused: [string, object, RegExp][] = [
      [received, { text: 'x' }, /must name a mail that was sent/],
      [id, {}, /^text is required/],
      [id, { text: 'x', from: 'kim' }, /^from\.email must be an address/],
      [id, { text: 'x', headers: [{ name: 'From', value: 'x' }] }, /^headers\[0\]\.name must not be From/],
      [id, { text: 'x', headers: { 'X-A': 'a\r\nb' } }, /^headers\[0\]\.value must not contain line breaks/],
      [id, { text: 'x', body: 'x' }, /^body is not a known field/],
    ];
    for (const [to, body, message] of refused) {
      const answer = await reply(to, body);
      assert.equal(answer.status, 400, answer.text);
      assert.match(String(answer.at('error.message')), message);
    }
  });
});

describe('practice grants', () => {
  it('can be made, expire and be authenticated again under the same id', async () => {
    const made = await sender.call('POST', '/practice/grants', { email: 'Second@practice.test', name: 'Second' });
    assert.deepEqual([made.status, made.at('data.grant_status'), made.at('data.name')], [201, 'valid', 'Second']);
    const id = String(made.at('data.id'));
    await sent({}, sender.key, id);
    const expired = await sender.call('POST', `/practice/grants/${id}/expire`);
    assert.deepEqual([expired.status, expired.at('data.grant_status')], [200, 'invalid']);
    const refused = await sender.call('POST', `/v3/grants/${id}/messages/send`, { to: [{ email: 'kim@example.com' }] });
    assert.equal(refused.status, 401);
    const again = await sender.call('POST', '/practice/grants', { email: 'second@practice.test' });
    assert.deepEqual([again.status, again.at('data.id'), again.at('data.grant_status')], [200, id, 'valid']);
    await sent({}, sender.key, id);
  });

  it('belong to the application of the key', async () => {
    const other = await sender.application('production');
    const answer = await sender.call('POST', `/practice/grants/${other.grant.id}/expire`);
    assert.deepEqual([answer.status, answer.at('error.type')], [404, 'grant.not_found']);
    const named = await sender.call('POST', '/practice/grants', {
      email: 'x@practice.test',
      application_id: 'application 2',
    });
    assert.match(String(named.at('error.message')), /^application_id names no application/);
    const bad = await sender.call('POST', '/practice/grants', { email: 'x' });
    assert.match(String(bad.at('error.message')), /^email must be an address/);
  });

  it('send from the page as they do from the API', async () => {
    const path = `/practice/grants/${sender.grant.id}/send`;
    const body = JSON.stringify({
      to: [{ email: 'kim@example.com' }],
      subject: 'page',
      tracking_options: { opens: true },
    });
    const headers = { cookie, 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' };
    const answer = await fetch(sender.url + path, { method: 'POST', headers, body });
    assert.equal(answer.status, 200);
    assert.match((await mail(await newest())).html ?? '', new RegExp(`${TRACKING_URL}/o/`));
    const wrong = await fetch(sender.url + path, { method: 'POST', headers, body: '{"to":[]}' });
    assert.equal(wrong.status, 400);
  });
});
