import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { foundMail } from '../../test/support/found-mail.ts';
import { mailShelf } from '../../test/support/mail-shelf.ts';
import { type Called, type Sender, startSender, TRACKING_URL } from '../../test/support/sender.ts';
import { deleteGrant, expireGrant, findGrant } from '../grants/grants.ts';
import { openPracticeGrant } from '../grants/practice-mail.ts';
import { fromWireId } from '../ids.ts';
import type { ReadOutcome } from '../providers/watch.ts';
import { linkUrl, pixelUrl } from '../tracking/token.ts';

const shelf = mailShelf();
let sender: Sender;
before(async () => {
  sender = await startSender((deps) => ({ ...deps, readMs: 300, providers: shelf.behind(deps.providers) }));
});
after(async () => {
  await sender.close();
});
beforeEach(() => {
  shelf.answer = null;
  shelf.asked.length = 0;
});

const find = (id: string, query = '', grant: string = sender.grant.id): Promise<Called> =>
  sender.call('GET', `/v3/grants/${grant}/messages/${encodeURIComponent(id)}${query}`);

const threadOf = (message: Called): Promise<Called> =>
  sender.call('GET', `/v3/grants/${sender.grant.id}/threads/${message.at('data.thread_id')}`);

const BODY = '<p>Hello <a href="https://example.com/demo?a=1&amp;b=2">demo</a></p>';

interface SentMail {
  readonly answer: Called;
  readonly id: string;
  readonly header: string;
  readonly raw: Buffer;
}

/** Sent, with its copy on the shelf unless asked otherwise. */
async function sent(change: object = {}, shelve = true): Promise<SentMail> {
  const answer = await sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send?fields=include_headers`, {
    to: [{ name: 'Kim', email: 'kim@example.com' }],
    subject: 'Hello',
    body: BODY,
    ...change,
  });
  assert.equal(answer.status, 200, answer.text);
  const id = String(answer.at('data.id'));
  const headers = [answer.at('data.headers')].flat();
  const header = String(Reflect.get(Object(headers.find((each) => Object(each).name === 'Message-ID')), 'value'));
  const { bytes } = await sender.call('GET', `/practice/messages/${id}/raw`);
  if (shelve) shelf.put(`sent/${id}`, bytes, { folders: ['SENT'], unread: false });
  return { answer, id, header, raw: bytes };
}

function reply(id: string, lines: readonly string[], body = 'Hi'): string {
  return [`Message-ID: ${id}`, 'Subject: Re: Hello', 'From: Kim <kim@example.com>', ...lines, '', body].join('\n');
}

describe('a message that was sent', () => {
  it('is as Send Message answered it, without anything that would count', async () => {
    const { answer, id } = await sent({
      cc: [{ email: 'cc@example.com' }],
      metadata: { campaign: 'spring' },
      tracking_options: { opens: true, links: true, label: 'demo' },
    });
    const shown = await find(id);
    assert.equal(shown.status, 200, shown.text);
    for (const name of ['id', 'object', 'grant_id', 'thread_id', 'subject', 'snippet', 'date', 'folders', 'metadata']) {
      assert.deepEqual(shown.at(`data.${name}`), answer.at(`data.${name}`), name);
    }
    assert.equal(String(shown.at('data.body')).trimEnd(), BODY);
    assert.deepEqual(shown.at('data.to'), [{ name: 'Kim', email: 'kim@example.com' }]);
    assert.deepEqual(shown.at('data.cc'), [{ name: '', email: 'cc@example.com' }]);
    assert.deepEqual([shown.at('data.unread'), shown.at('data.starred')], [false, false]);
    assert.equal(shown.text.includes(TRACKING_URL), false);
    assert.equal(shown.at('data.tracking_options'), undefined);
    assert.equal(shown.at('data.headers'), undefined);
    assert.equal(shown.at('data.reply_to_message_id'), undefined);
  });

  it('is found by its Message-ID, with and without brackets, and by the provider’s id', async () => {
    const { id, header } = await sent();
    const kept = await sender.call('GET', '/practice/messages');
    for (const name of [header, header.slice(1, -1), String(kept.at('data.0.id'))]) {
      assert.equal((await find(name)).at('data.id'), id, name);
    }
  });

  it('shows headers and tracking options where they are asked for', async () => {
    const { id, header } = await sent({ tracking_options: { opens: true, label: 'l' } });
    const all = await find(id, '?fields=include_headers');
    const headers = new Map(
      [all.at('data.headers')].flat().map((each) => [Object(each).name as unknown, Object(each).value as unknown]),
    );
    assert.equal(headers.get('Message-ID'), header);
    assert.equal(headers.get('MIME-Version'), '1.0');
    assert.equal(headers.get('Subject'), 'Hello');
    const basic = await find(id, '?fields=include_basic_headers');
    assert.deepEqual(basic.at('data.headers'), [{ name: 'Message-ID', value: header }]);
    const options = await find(id, '?fields=include_tracking_options');
    assert.deepEqual(options.at('data.tracking_options'), {
      opens: true,
      links: false,
      thread_replies: false,
      label: 'l',
    });
  });

  it('is cut to what is selected', async () => {
    const { id } = await sent();
    const shown = await find(id, '?select=subject,snippet,none');
    assert.deepEqual(Object.keys(Object(shown.at('data'))).sort(), ['grant_id', 'id', 'object', 'snippet', 'subject']);
  });

  it('is answered from its row where no copy of it is in the mailbox', async () => {
    const { id, answer } = await sent({ metadata: { key1: 'a' } }, false);
    const shown = await find(id);
    assert.equal(shown.status, 200, shown.text);
    assert.deepEqual(shown.at('data'), {
      id,
      object: 'message',
      grant_id: sender.grant.id,
      thread_id: answer.at('data.thread_id'),
      subject: 'Hello',
      body: '',
      snippet: '',
      from: [{ name: 'Practice Sender', email: 'sender@practice.test' }],
      to: [],
      cc: [],
      bcc: [],
      reply_to: [],
      date: answer.at('data.date'),
      folders: ['SENT'],
      unread: false,
      starred: false,
      attachments: [],
      metadata: { key1: 'a' },
    });
  });

  it('is whole while its copy waits for the Sent folder', async () => {
    const { id, raw, header } = await sent({ bcc: [{ email: 'blind@example.com' }] }, false);
    const { sql } = sender.database;
    const copy = `Bcc: blind@example.com\r\n${raw.toString('latin1')}`;
    await sql`
      insert into sent_copies (app, message_id, grant_id, header, raw, next_attempt_at)
      values (${sender.grant.app}, ${fromWireId('msg', id)}, ${sender.grant.id}, ${header}, ${Buffer.from(copy, 'latin1')}, now())`;
    const shown = await find(id);
    assert.equal(String(shown.at('data.body')).trimEnd(), BODY);
    assert.deepEqual(shown.at('data.bcc'), [{ name: '', email: 'blind@example.com' }]);
    assert.deepEqual(shown.at('data.folders'), ['SENT']);
    assert.equal(shelf.asked.length, 0);
    assert.deepEqual((await threadOf(shown)).at('data.latest_draft_or_message'), shown.at('data'));
  });

  it('is none where sending it failed', async () => {
    const { id } = await sent();
    await sender.database.sql`update messages set state = 'failed' where id = ${fromWireId('msg', id)}`;
    assert.equal((await find(id)).status, 404);
  });

  it('names its attachments', async () => {
    const { id, answer } = await sent({
      body: '<p>Logo: <img src="cid:logo"></p>',
      attachments: [
        { filename: 'a.txt', content_type: 'text/plain', content: Buffer.from('12345').toString('base64') },
        {
          filename: 'l.png',
          content_type: 'image/png',
          content: Buffer.from('png').toString('base64'),
          content_id: 'logo',
        },
      ],
    });
    const shown = await find(id);
    const attachments = [shown.at('data.attachments')].flat().map((each) => Object(each));
    assert.deepEqual(
      attachments
        .map(({ filename, content_type, size, is_inline, content_id, content_disposition, grant_id }) => ({
          filename,
          content_type,
          size,
          is_inline,
          content_id,
          content_disposition,
          grant_id,
        }))
        .sort((a, b) => (a.filename < b.filename ? -1 : 1)),
      [
        {
          filename: 'a.txt',
          content_type: 'text/plain',
          size: 5,
          is_inline: false,
          content_id: undefined,
          content_disposition: 'attachment',
          grant_id: sender.grant.id,
        },
        {
          filename: 'l.png',
          content_type: 'image/png',
          size: 3,
          is_inline: true,
          content_id: 'logo',
          content_disposition: 'inline',
          grant_id: sender.grant.id,
        },
      ],
    );
    const idsOf = (list: unknown) =>
      new Map([list].flat().map((each) => [Object(each).filename as unknown, Object(each).id as unknown]));
    assert.equal(new Set(idsOf(attachments).values()).size, 2);
    assert.deepEqual(Object.fromEntries(idsOf(attachments)), Object.fromEntries(idsOf(answer.at('data.attachments'))));
  });
});

describe('a received mail', () => {
  it('is found by its id and its Message-ID', async () => {
    const raw = reply(
      '<One+2/3%25=@Client.test>',
      ['To: sender@practice.test', 'Reply-To: Desk <desk@example.com>'],
      'Yes, <b>',
    );
    const id = await foundMail(sender.database.sql, sender.grant, raw, { place: 'p1', threadId: 'thr_x' });
    shelf.put('p1', raw, { starred: true, receivedAt: new Date('2026-11-20T10:00:01.900Z') });
    for (const name of [id, '<One+2/3%25=@Client.test>', 'One+2/3%25=@client.TEST']) {
      const shown = await find(name);
      assert.equal(shown.status, 200, shown.text);
      assert.deepEqual(shown.at('data'), {
        id,
        object: 'message',
        grant_id: sender.grant.id,
        thread_id: 'thr_x',
        subject: 'Re: Hello',
        body: shown.at('data.body'),
        snippet: 'Yes, <b>',
        from: [{ name: 'Kim', email: 'kim@example.com' }],
        to: [{ name: '', email: 'sender@practice.test' }],
        cc: [],
        bcc: [],
        reply_to: [{ name: 'Desk', email: 'desk@example.com' }],
        date: Date.parse('2026-11-20T10:00:01Z') / 1000,
        folders: ['INBOX'],
        unread: true,
        starred: true,
        attachments: [],
      });
      assert.equal(String(shown.at('data.body')).trimEnd(), 'Yes, <b>');
    }
  });

  it('that quotes us can be looked at without being counted, as HTML and as text', async () => {
    const { keys } = sender.deps;
    const identity = {
      app: sender.grant.app,
      grant: sender.grant.serial,
      message: '019a0000-0000-7000-8000-000000000001',
    };
    const link = linkUrl(keys, TRACKING_URL, { ...identity, link: 0 }, 'https://example.com/demo');
    const pixel = pixelUrl(keys, TRACKING_URL, identity);
    const foreign = linkUrl(keys, TRACKING_URL, { ...identity, app: 4711, link: 0 }, 'https://example.com/theirs');
    const html = reply(
      '<html@client.test>',
      ['Content-Type: text/html'],
      `<p>ok</p><blockquote><a href="${link}">demo</a><a href="${foreign}">x</a><img src="${pixel}" width="1"></blockquote>`,
    );
    const text = reply('<text@client.test>', [], `ok\n> demo <${link}>, see ${link}.\n> [${pixel}] ${foreign}`);
    for (const [place, raw, body] of [
      [
        'html',
        html,
        `<p>ok</p><blockquote><a href="https://example.com/demo">demo</a><a href="${foreign}">x</a></blockquote>`,
      ],
      ['text', text, `ok\n> demo <https://example.com/demo>, see https://example.com/demo.\n> [] ${foreign}`],
    ] as const) {
      const id = await foundMail(sender.database.sql, sender.grant, raw, { place });
      shelf.put(place, raw);
      const shown = await find(id);
      assert.equal(String(shown.at('data.body')).replaceAll('\r', '').trimEnd(), body);
    }
  });

  it('is remembered where it was moved to', async () => {
    const raw = reply('<moved@client.test>', []);
    const id = await foundMail(sender.database.sql, sender.grant, raw, { place: 'before' });
    shelf.put('after', raw, { folders: ['Archive'] });
    const shown = await find(id);
    assert.deepEqual(shown.at('data.folders'), ['Archive']);
    await find(id);
    assert.deepEqual(
      shelf.asked.map(([wanted]) => wanted?.place),
      ['before', 'after'],
    );
  });

  it('that has gone is not found any more', async () => {
    const raw = reply('<gone@client.test>', []);
    const id = await foundMail(sender.database.sql, sender.grant, raw, { place: 'gone' });
    assert.equal((await find(id)).status, 404);
  });

  it('shows nobody without an address, and nothing that JSON cannot hold', async () => {
    const raw = reply('<odd@client.test>', ['To: undisclosed-recipients:;', 'Cc: Lee <lee@example.com>'], 'a\0b');
    const id = await foundMail(sender.database.sql, sender.grant, raw, { place: 'odd' });
    shelf.put('odd', raw);
    const shown = await find(id);
    assert.deepEqual(shown.at('data.to'), []);
    assert.deepEqual(shown.at('data.cc'), [{ name: 'Lee', email: 'lee@example.com' }]);
    assert.equal(String(shown.at('data.body')).includes('\0'), false);
  });
});

describe('what is not there', () => {
  it('is named', async () => {
    for (const name of ['msg_unknown', '<nobody@example.com>', 'a\0b', '18ac281f237c934b', 'send']) {
      const { status, at } = await find(name);
      assert.equal(status, 404, name);
      assert.equal(at('error.type'), 'api.not_found_error');
      assert.equal(at('error.message'), `message_id: no message "${name}" was found in this grant.`);
    }
    assert.equal(shelf.asked.length, 0);
  });

  it('are the messages of other grants and applications', async () => {
    const { id, header } = await sent();
    const { grant } = await openPracticeGrant(sender.deps, sender.grant.app, { email: 'other@practice.test' });
    assert.equal((await find(id, '', grant.id)).status, 404);
    assert.equal((await find(header, '', grant.id)).status, 404);
    const other = await sender.application('production');
    const path = `/v3/grants/${other.grant.id}/messages/${id}`;
    assert.equal((await sender.call('GET', path, undefined, other.key)).status, 404);
  });

  it('is every message of a grant that expired or was deleted', async () => {
    const { id } = await sent();
    const { grant } = await openPracticeGrant(sender.deps, sender.grant.app, { email: 'late@practice.test' });
    await expireGrant(sender.database.sql, grant.app, grant.id);
    const expired = await find(id, '', grant.id);
    assert.deepEqual([expired.status, expired.at('error.type')], [401, 'api.authentication_error']);
    await deleteGrant(sender.database.sql, grant.app, grant.id);
    const deleted = await find(id, '', grant.id);
    assert.deepEqual([deleted.status, deleted.at('error.type')], [404, 'grant.not_found']);
    assert.equal((await find(id, '', 'nobody@example.com')).at('error.type'), 'grant.not_found');
  });

  it('are fields that nobody knows', async () => {
    const { id } = await sent();
    const refused = await find(id, '?fields=raw_mime');
    assert.equal(refused.status, 400);
    assert.match(String(refused.at('error.message')), /^fields must be one of standard, /);
  });
});

describe('a mailbox that cannot be read', () => {
  const REASON = 'in its own words';
  const CASES: readonly (readonly [ReadOutcome, status: number, type: string, retryAfter: string | null])[] = [
    [{ kind: 'throttled', reason: REASON, retryAfterSeconds: 7 }, 429, 'api.rate_limit_error', '7'],
    [{ kind: 'throttled', reason: REASON }, 429, 'api.rate_limit_error', '30'],
    [{ kind: 'unreachable', reason: REASON }, 503, 'api.provider_error', null],
  ];
  for (const [outcome, status, type, retryAfter] of CASES) {
    it(`is a ${status} where it is ${outcome.kind}, retried after ${retryAfter}`, async () => {
      const { id } = await sent();
      shelf.answer = async () => outcome;
      const refused = await find(id);
      assert.deepEqual([refused.status, refused.at('error.type')], [status, type]);
      assert.equal(refused.at('error.provider_error.reason'), REASON);
      assert.equal(refused.headers.get('retry-after'), retryAfter);
    });
  }

  it('is a 504 where it says nothing in time, however it ends then', async () => {
    const { id } = await sent();
    shelf.answer = () => new Promise(() => {});
    assert.equal((await find(id)).status, 504);
    shelf.answer = (signal) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve({ kind: 'unreachable', reason: REASON }), { once: true }),
      );
    const refused = await find(id);
    assert.deepEqual([refused.status, refused.at('error.message')], [504, 'Provider request timed out.']);
  });

  it('is a 403 where it refuses the credentials, and the grant expires', async () => {
    const { grant } = await openPracticeGrant(sender.deps, sender.grant.app, { email: 'refused@practice.test' });
    const answer = await sender.call('POST', `/v3/grants/${grant.id}/messages/send`, {
      to: [{ email: 'kim@example.com' }],
      subject: 'x',
      body: 'x',
    });
    shelf.answer = async () => ({ kind: 'unauthorised', reason: REASON });
    const refused = await find(String(answer.at('data.id')), '', grant.id);
    assert.deepEqual([refused.status, refused.at('error.type')], [403, 'api.provider_error']);
    assert.equal((await findGrant(sender.database.sql, grant.app, grant.id))?.state, 'expired');
    assert.equal((await find(String(answer.at('data.id')), '', grant.id)).status, 401);
  });
});
