import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Called, type Sender, startSender } from '../../test/support/sender.ts';
import { expireGrant } from '../grants/grants.ts';
import { isUuid } from '../ids.ts';
import type { SendOutcome } from '../providers/provider.ts';

let sender: Sender;
let outcome: SendOutcome | null;
before(async () => {
  sender = await startSender((deps) => {
    const { practice } = deps.providers;
    const send: typeof practice.send = async (...args) => outcome ?? (await practice.send(...args));
    return { ...deps, providers: { ...deps.providers, practice: { ...practice, send } } };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  outcome = null;
  await sender.database.sql`delete from drafts`;
  await sender.database.sql`delete from blobs`;
});

const kim = { email: 'kim@example.com', name: 'Kim' };
const lee = { email: 'lee@example.com' };
const file = { filename: 'a.txt', content_type: 'text/plain', content: 'YWJj' };

const call = (method: string, path = '', body?: unknown, key?: string): Promise<Called> =>
  sender.call(method, `/v3/grants/${sender.grant.id}/drafts${path}`, body, key);

async function create(body: object = {}): Promise<string> {
  const answer = await call('POST', '', body);
  assert.equal(answer.status, 200, answer.text);
  return String(answer.at('data.id'));
}

async function listed(query: string): Promise<unknown> {
  const answer = await call('GET', query);
  assert.equal(answer.status, 200, answer.text);
  return Array.from(Object(answer.at('data')), (draft) => Reflect.get(Object(draft), 'subject'));
}

describe('a draft', () => {
  it('is answered as it was written, with all that the SDKs need, when it is created and when it is read', async () => {
    const answer = await call('POST', '', {
      to: [kim],
      cc: [lee],
      bcc: [{ email: 'hidden@example.com' }],
      reply_to: [lee],
      subject: 'Offer',
      body: '<p>Dear <b>Kim</b></p>',
      starred: true,
      metadata: { key1: 'a' },
      attachments: [{ ...file, content_id: 'logo' }],
      tracking_options: { opens: true, label: 'x' },
      reply_to_message_id: '<first@example.com>',
    });
    const id = String(answer.at('data.id'));
    const date = answer.at('data.date');
    assert.match(id, /^dft_[0-9a-z]{26}$/);
    assert.ok(typeof date === 'number' && Math.abs(date - Date.now() / 1000) < 60);
    const grant_id = sender.grant.id;
    assert.deepEqual(answer.at('data'), {
      id,
      object: 'draft',
      grant_id,
      thread_id: id.replace('dft_', 'thr_'),
      subject: 'Offer',
      body: '<p>Dear <b>Kim</b></p>',
      snippet: 'Dear Kim',
      from: [{ email: sender.grant.email, name: sender.grant.name }],
      to: [kim],
      cc: [lee],
      bcc: [{ email: 'hidden@example.com' }],
      reply_to: [lee],
      date,
      created_at: date,
      folders: ['DRAFTS'],
      unread: false,
      starred: true,
      attachments: [
        {
          id: answer.at('data.attachments.0.id'),
          grant_id,
          filename: 'a.txt',
          content_type: 'text/plain',
          size: 3,
          content_disposition: 'inline',
          is_inline: true,
          content_id: 'logo',
        },
      ],
      tracking_options: { opens: true, links: false, thread_replies: false, label: 'x' },
      reply_to_message_id: '<first@example.com>',
      metadata: { key1: 'a' },
    });
    assert.deepEqual((await call('GET', `/${id}`)).at('data'), answer.at('data'));
    assert.deepEqual((await call('GET')).at('data.0'), answer.at('data'));
    assert.deepEqual((await call('GET', `/${id}?select=subject`)).at('data'), {
      id,
      object: 'draft',
      grant_id,
      subject: 'Offer',
    });
  });

  it('may be empty, and then everything of it is', async () => {
    const answer = await call('POST', '', {});
    const { to, subject, body, attachments, metadata, reply_to_message_id: parent } = Object(answer.at('data'));
    assert.deepEqual([to, subject, body, attachments, metadata, parent], [[], '', '', [], {}, '']);
    assert.doesNotMatch(answer.text, /null/);
  });

  it('keeps what a change does not name, and merges tracking options', async () => {
    const id = await create({
      to: [kim],
      subject: 'Offer',
      body: 'x',
      attachments: [file],
      tracking_options: { opens: true, label: 'first' },
    });
    const changed = await call('PUT', `/${id}`, { body: 'y', tracking_options: { links: true }, subject: null });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(
      [changed.at('data.subject'), changed.at('data.body'), changed.at('data.to.0.email'), changed.at('data.id')],
      ['Offer', 'y', kim.email, id],
    );
    assert.deepEqual(changed.at('data.tracking_options'), {
      opens: true,
      links: true,
      thread_replies: false,
      label: 'first',
    });
    assert.equal(changed.at('data.attachments.0.filename'), 'a.txt');
    const replaced = await call('PUT', `/${id}`, { attachments: [{ ...file, filename: 'b.txt' }], starred: true });
    assert.deepEqual(
      [replaced.at('data.attachments.0.filename'), replaced.at('data.attachments.length')],
      ['b.txt', 1],
    );
    assert.equal(replaced.at('data.starred'), true);
    assert.deepEqual((await call('PUT', `/${id}`, { attachments: [] })).at('data.attachments'), []);
    assert.deepEqual((await call('PUT', `/${id}`, {})).at('data.starred'), true);
  });

  it('comes as a form, whose files are its attachments', async () => {
    const form = new FormData();
    form.set('message', JSON.stringify({ subject: 'Form', attachments: [file] }));
    const large = Buffer.alloc(300_000, 'ab');
    form.set('file0', new File([new Uint8Array(large)], 'large.bin', { type: 'application/pdf' }));
    const upload = async (method: string, path: string): Promise<unknown> => {
      const response = await fetch(`${sender.url}/v3/grants/${sender.grant.id}/drafts${path}`, {
        method,
        headers: { authorization: `Bearer ${sender.key}` },
        body: form,
      });
      const { data } = Object(await response.json());
      assert.equal(response.status, 200);
      assert.deepEqual(
        Array.from(Object(data.attachments), (each) => [Object(each).filename, Object(each).size]),
        [
          ['a.txt', 3],
          ['large.bin', large.length],
        ],
      );
      return data.id;
    };
    const id = String(await upload('POST', ''));
    await upload('PUT', `/${id}`);
    const blobs = await sender.database.sql`select keep_until from blobs where size in (3, ${large.length})`;
    assert.equal(blobs.filter(({ keep_until: until }) => until === null).length, 2, 'those of the draft are held');
  });

  it('is gone once it is deleted', async () => {
    const id = await create({ subject: 'x' });
    const deleted = await call('DELETE', `/${id}`);
    assert.equal(deleted.status, 200);
    assert.deepEqual(Object.keys(JSON.parse(deleted.text)), ['request_id']);
    for (const [method, body] of [['GET'], ['PUT', {}], ['DELETE'], ['POST', {}]] as const) {
      const answer = await call(method, `/${id}`, body);
      assert.deepEqual([answer.status, answer.at('error.type')], [404, 'api.not_found_error'], method);
    }
    assert.deepEqual(await listed(''), []);
  });

  it('is no other grant’s, and no other application’s', async () => {
    const id = await create({ subject: 'x' });
    const other = await sender.application('production');
    const path = `/v3/grants/${other.grant.id}/drafts/${id}`;
    for (const method of ['GET', 'PUT', 'DELETE', 'POST']) {
      const body = method === 'PUT' || method === 'POST' ? { to: [kim] } : undefined;
      assert.equal((await sender.call(method, path, body, other.key)).status, 404, method);
      assert.equal((await call(method, `/${id}`, body, other.key)).status, 404, method);
    }
    assert.deepEqual(await listed(''), ['x']);
  });

  it('waits for an expired grant', async () => {
    const id = await create({ to: [kim] });
    await expireGrant(sender.database.sql, sender.grant.app, sender.grant.id);
    for (const [method, path, body] of [
      ['GET', ''],
      ['POST', '', {}],
      ['GET', `/${id}`],
      ['PUT', `/${id}`, {}],
      ['DELETE', `/${id}`],
      ['POST', `/${id}`, {}],
    ] as const) {
      assert.equal((await call(method, path, body)).status, 401, `${method} ${path}`);
    }
    await sender.database.sql`update grants set state = 'valid'`;
    assert.equal((await call('GET', `/${id}`)).status, 200);
  });
});

describe('a draft that cannot be', () => {
  const wrong: [string, object, number, RegExp][] = [
    ['an address', { to: [{ email: 'kim' }] }, 400, /^to\[0\]\.email must/],
    ['a line break', { subject: 'a\r\nb' }, 400, /^subject must not/],
    ['an unknown parent', { reply_to_message_id: 'msg_nothing' }, 404, /^reply_to_message_id: no message/],
    ['a label that is too long', { tracking_options: { opens: true, label: 'x'.repeat(2049) } }, 400, /open tracking/],
    ['a label that cannot be stored', { tracking_options: { thread_replies: true, label: 'a\0' } }, 400, /reply track/],
    ['metadata', { metadata: { ['k'.repeat(41)]: 'x' } }, 400, /^metadata must have keys/],
    ['metadata that cannot be stored', { metadata: { key1: '\0' } }, 400, /^the draft has a label or metadata/],
    [
      'a hostname',
      { tracking_options: { opens: true, domain_name: 'track.example.com' } },
      400,
      /^tracking_options\.domain_name must be an active custom hostname for this organization$/,
    ],
    ['a time', { send_at: 4_000_000_000 }, 400, /^send_at /],
    ['a signature', { signature_id: 'x' }, 400, /^signature_id /],
    [
      'two ways to answer',
      { reply_to_message_id: '<a@b>', custom_headers: [{ name: 'References', value: '<a@b>' }] },
      400,
      /^custom_headers/,
    ],
  ];
  for (const [name, body, status, message] of wrong) {
    it(`is refused when it is created and when it is changed: ${name}`, async () => {
      const refused = await call('POST', '', body);
      assert.equal(refused.status, status, refused.text);
      assert.match(String(refused.at('error.message')), message);
      const id = await create({ subject: 'good' });
      const changed = await call('PUT', `/${id}`, body);
      assert.equal(changed.status, status, changed.text);
      assert.match(String(changed.at('error.message')), message);
      assert.deepEqual(await listed(''), ['good']);
      assert.equal((await call('GET', `/${id}`)).at('data.tracking_options.label'), '');
    });
  }

  it('asks a trial account for tracking (D5); a label alone is harmless', async () => {
    const { grant, key } = await sender.application('sandbox');
    const path = `/v3/grants/${grant.id}/drafts`;
    const made = await sender.call('POST', path, { tracking_options: { label: 'x' } }, key);
    assert.equal(made.status, 200, made.text);
    for (const [method, where] of [
      ['POST', path],
      ['PUT', `${path}/${made.at('data.id')}`],
    ] as const) {
      const refused = await sender.call(method, where, { tracking_options: { links: true } }, key);
      assert.deepEqual(
        [refused.status, refused.at('error.type'), refused.at('error.message')],
        [403, 'api.tracking_error', 'Tracking options are not allowed for trial accounts'],
      );
    }
  });

  it('is answered with a thread header of its own once it answers a message', async () => {
    const id = await create({ custom_headers: [{ name: 'In-Reply-To', value: '<a@b>' }] });
    const refused = await call('PUT', `/${id}`, { reply_to_message_id: '<a@b>' });
    assert.match(String(refused.at('error.message')), /^custom_headers must not have In-Reply-To/);
  });
});

describe('a list of drafts', () => {
  it('is newest first, in pages, and ends', async () => {
    for (let at = 0; at < 5; at++) {
      await create({ subject: `${at}` });
      await new Promise((resolve) => setTimeout(resolve, 2)); // ids are in the order of milliseconds
    }
    const pages: unknown[] = [];
    let token = '';
    do {
      const page = await call('GET', `?limit=2${token && `&page_token=${token}`}`);
      pages.push(Array.from(Object(page.at('data')), (draft) => Object(draft).subject));
      token = String(page.at('next_cursor') ?? '');
    } while (token !== '');
    assert.deepEqual(pages, [['4', '3'], ['2', '1'], ['0']]);
  });

  it('has what its filters ask for', async () => {
    await create({ subject: 'First Straße 100%', to: [kim], starred: true, metadata: { key1: 'a:b' } });
    await create({ subject: 'SECOND', cc: [{ email: 'Kim@Example.com' }], attachments: [file] });
    await create({ subject: 'third', bcc: [lee], reply_to_message_id: '<first@example.com>' });
    const third = (await call('GET', '?subject=third')).at('data.0.thread_id');
    const rows: [string, string[]][] = [
      ['?subject=straße', ['First Straße 100%']],
      ['?subject=STRA', ['First Straße 100%']],
      ['?subject=STRAẞE', ['First Straße 100%']],
      ['?subject=%25', ['First Straße 100%']],
      ['?subject=ir', ['third', 'First Straße 100%']],
      ['?any_email=KIM@example.com', ['SECOND', 'First Straße 100%']],
      ['?any_email=kim@example.com,lee@example.com', ['third', 'SECOND', 'First Straße 100%']],
      ['?any_email=nobody@example.com&any_email=lee@example.com', ['third']],
      ['?to=kim@example.com', ['First Straße 100%']],
      ['?cc=kim@example.com', ['SECOND']],
      ['?bcc=lee@example.com', ['third']],
      ['?to=lee@example.com', []],
      ['?starred=True', ['First Straße 100%']],
      ['?starred=false', ['third', 'SECOND']],
      ['?unread=true', []],
      ['?unread=false&limit=1', ['third']],
      ['?has_attachment=true', ['SECOND']],
      ['?metadata_pair=key1:a:b', ['First Straße 100%']],
      ['?metadata_pair=key1%253Aa:b', ['First Straße 100%']],
      ['?metadata_pair=key1:a', []],
      [`?thread_id=${third}`, ['third']],
      ['?thread_id=nothing', []],
      ['?query_imap=true&limit=200', ['third', 'SECOND', 'First Straße 100%']],
    ];
    for (const [query, subjects] of rows) assert.deepEqual(await listed(query), subjects, query);
  });

  it('refuses what it cannot read', async () => {
    for (const query of ['limit=0', 'limit=201', 'page_token=x', 'starred=1', 'metadata_pair=key1']) {
      const answer = await call('GET', `?${query}`);
      assert.equal(answer.status, 400, query);
      assert.match(String(answer.at('error.message')), new RegExp(`^${query.split('=')[0]} `));
    }
  });

  it('has as many drafts on a page as their bodies allow', async () => {
    const body = 'x'.repeat(5 * 1024 * 1024);
    for (let at = 0; at < 3; at++) await create({ body });
    const first = await call('GET', '');
    assert.deepEqual([first.at('data.length'), typeof first.at('next_cursor')], [1, 'string']);
    const second = await call('GET', `?page_token=${first.at('next_cursor')}`);
    assert.equal(second.at('data.length'), 1);
  });
});

describe('sending a draft', () => {
  const content = {
    to: [kim],
    subject: 'Offer',
    body: '<p><a href="https://example.com/">x</a></p>',
    tracking_options: { opens: true, links: true, label: 'draft' },
    attachments: [file],
  };

  for (const [name, body] of [
    ['no body', undefined],
    ['{}', {}],
    ['nothing but a content type', ''],
    ['members nobody knows', { foo: 1 }],
  ] as const) {
    it(`with ${name} answers the message that was sent, tracked as the draft says`, async () => {
      const id = await create(content);
      const sent = await call('POST', `/${id}`, body);
      assert.equal(sent.status, 200, sent.text);
      assert.match(String(sent.at('data.id')), /^msg_/);
      assert.deepEqual(
        [sent.at('data.object'), sent.at('grant_id'), sent.at('data.subject'), sent.at('data.body')],
        ['message', sender.grant.id, 'Offer', content.body],
      );
      assert.deepEqual(sent.at('data.tracking_options'), {
        opens: true,
        links: true,
        thread_replies: false,
        label: 'draft',
      });
      const [row] = await sender.database.sql`select label, opens, links, link_count, state from messages
        order by id desc limit 1`;
      assert.deepEqual({ ...row }, { label: 'draft', opens: true, links: true, link_count: 1, state: 'sent' });
      assert.equal((await call('GET', `/${id}`)).status, 404);
      assert.deepEqual(await listed(''), []);
    });
  }

  it('without anybody in `to` is refused by its name', async () => {
    const id = await create({ cc: [kim] });
    const refused = await call('POST', `/${id}`, {});
    assert.deepEqual([refused.status, refused.at('error.type')], [400, 'api.invalid_request_error']);
    assert.match(String(refused.at('error.message')), /^to must/);
    assert.equal((await call('PUT', `/${id}`, { to: [kim] })).status, 200);
    assert.equal((await call('POST', `/${id}`, {})).status, 200);
  });

  it('with a signature is refused', async () => {
    const id = await create(content);
    assert.match(String((await call('POST', `/${id}`, { signature_id: 'x' })).at('error.message')), /^signature_id /);
    assert.equal((await call('POST', `/${id}`, { signature_id: null })).status, 200);
  });

  it('that fails leaves it as it was, to be changed and sent again', async () => {
    const id = await create(content);
    const before = (await call('GET', `/${id}`)).at('data');
    outcome = { kind: 'rejected', reason: '550 no', refused: [] };
    assert.equal((await call('POST', `/${id}`, {})).status, 402);
    assert.deepEqual((await call('GET', `/${id}`)).at('data'), before);
    assert.deepEqual(await listed(''), ['Offer']);
    outcome = null;
    assert.equal((await call('PUT', `/${id}`, { subject: 'Again' })).status, 200);
    assert.equal((await call('POST', `/${id}`, {})).at('data.subject'), 'Again');
  });

  it('that may have been sent is neither sent again nor changed, but may be deleted', async () => {
    const id = await create(content);
    outcome = { kind: 'unknown', reason: 'gone' };
    assert.equal((await call('POST', `/${id}`, {})).status, 504);
    outcome = null;
    for (const [method, body] of [
      ['PUT', {}],
      ['POST', {}],
    ] as const) {
      const refused = await call(method, `/${id}`, body);
      assert.deepEqual([refused.status, refused.at('error.type')], [409, 'api.invalid_request_error'], method);
      assert.match(String(refused.at('error.message')), /may have been sent/);
    }
    assert.equal((await call('GET', `/${id}`)).status, 200);
    assert.deepEqual(await listed(''), []);
    assert.equal((await call('DELETE', `/${id}`)).status, 200);
    assert.equal((await call('GET', `/${id}`)).status, 404);
  });

  it('repeated under an Idempotency-Key sends once and answers the same', async () => {
    const id = await create(content);
    const post = async (): Promise<{ status: number; replayed: string | null; data: unknown }> => {
      const response = await fetch(`${sender.url}/v3/grants/${sender.grant.id}/drafts/${id}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${sender.key}`, 'idempotency-key': 'draft-key' },
      });
      const { data, request_id: requestId } = Object(await response.json());
      assert.ok(isUuid(requestId));
      return { status: response.status, replayed: response.headers.get('idempotent-response'), data };
    };
    const [first, second] = [await post(), await post()];
    assert.deepEqual([first.status, first.replayed, second.status, second.replayed], [200, null, 200, 'true']);
    assert.deepEqual(second.data, first.data);
  });
});

describe('a thread', () => {
  const thread = (id: unknown): Promise<Called> => sender.call('GET', `/v3/grants/${sender.grant.id}/threads/${id}`);

  it('shows its drafts, the one that is newer than its messages in full', async () => {
    const sent = await sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send`, { to: [kim], subject: 'A' });
    const id = await create({ to: [kim], subject: 'Re: A', reply_to_message_id: sent.at('data.id') });
    const draft = (await call('GET', `/${id}`)).at('data');
    const shown = await thread(sent.at('data.thread_id'));
    assert.equal(shown.status, 200, shown.text);
    assert.deepEqual([shown.at('data.draft_ids'), shown.at('data.has_drafts')], [[id], true]);
    assert.deepEqual(shown.at('data.latest_draft_or_message'), draft);
    assert.deepEqual(shown.at('data.message_ids'), [sent.at('data.id')]);

    const answered = await call('POST', `/${id}`, {});
    assert.equal(answered.at('data.thread_id'), sent.at('data.thread_id'));
    const after = await thread(sent.at('data.thread_id'));
    assert.deepEqual([after.at('data.draft_ids'), after.at('data.has_drafts')], [[], false]);
    assert.equal(after.at('data.latest_draft_or_message.id'), answered.at('data.id'));
  });

  it('may have nothing but drafts', async () => {
    const id = await create({ to: [kim], subject: 'New', body: 'text' });
    const draft = (await call('GET', `/${id}`)).at('data');
    const shown = await thread(Object(draft).thread_id);
    assert.deepEqual(
      [shown.at('data.message_ids'), shown.at('data.draft_ids'), shown.at('data.latest_draft_or_message')],
      [[], [id], draft],
    );
    await call('DELETE', `/${id}`);
    assert.equal((await thread(Object(draft).thread_id)).status, 404);
  });
});
