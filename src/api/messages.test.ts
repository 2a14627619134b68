import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { type Called, type Sender, startSender } from '../../test/support/sender.ts';

let sender: Sender;
before(async () => {
  sender = await startSender();
});
after(async () => {
  await sender.close();
});

const kim = { email: 'kim@example.com' };
const send = (body: unknown, query = ''): Promise<Called> =>
  sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send${query}`, body);
const file = (change: object) => ({
  to: [kim],
  attachments: [{ filename: 'a', content_type: 'text/plain', content: 'YQ==', ...change }],
});
const header = (name: string, value = 'x') => ({ to: [kim], custom_headers: [{ name, value }] });

describe('bad input is told by field and rule', () => {
  const wrong: [string, unknown, RegExp][] = [
    ['nobody', {}, /^to is required$/],
    ['an empty list', { to: [] }, /^to must not be empty$/],
    ['a bare address', { to: 'kim@example.com' }, /^to must be a list$/],
    ['a recipient without address', { to: [{ name: 'Kim' }] }, /^to\[0\]\.email is required$/],
    ['an address without @', { to: [kim, { email: 'kim' }] }, /^to\[1\]\.email must be an address/],
    [
      'an address with a line break',
      { to: [{ email: 'kim@example.com\r\nBcc: x@example.com' }] },
      /^to\[0\]\.email must/,
    ],
    ['two addresses in one', { to: [kim], cc: [{ email: 'a@example.com, b@example.com' }] }, /^cc\[0\]\.email must/],
    ['an address in angle brackets', { to: [kim], bcc: [{ email: '<a@example.com>' }] }, /^bcc\[0\]\.email must/],
    [
      'a name with a line break',
      { to: [{ ...kim, name: 'Kim\nBcc: x@example.com' }] },
      /^to\[0\]\.name must not contain line breaks/,
    ],
    ['two senders', { to: [kim], from: [kim, kim] }, /^from must have one entry$/],
    [
      'a subject with a line break',
      { to: [kim], subject: 'a\r\nBcc: x@example.com' },
      /^subject must not contain line breaks/,
    ],
    ['a body that is no string', { to: [kim], body: 5 }, /^body must be a string$/],
    [
      'a label that is no string',
      { to: [kim], tracking_options: { label: 5 } },
      /^tracking_options\.label must be a string$/,
    ],
    [
      'opens in words',
      { to: [kim], tracking_options: { opens: 'true' } },
      /^tracking_options\.opens must be true or false$/,
    ],
    ['metadata of another type', { to: [kim], metadata: { key1: 5 } }, /^metadata\.key1 must be a string$/],
    ['metadata of another type under an odd key', { to: [kim], metadata: { 'a\nb': {} } }, /must be a string$/],
    ['null as metadata', { to: [kim], metadata: { key1: null } }, /^metadata\.key1 must be a string$/],
    ['a header with a colon in its name', header('X-A:'), /^custom_headers\[0\]\.name must have/],
    ['a header with a line break in its name', header('X-A\r\nBcc'), /^custom_headers\[0\]\.name must have/],
    [
      'a header with a line break in its value',
      header('X-A', 'x\r\nBcc: y@example.com'),
      /^custom_headers\[0\]\.value must not contain line breaks/,
    ],
    ['no base64', file({ content: 'a b!' }), /^attachments\[0\]\.content must be base64$/],
    ['half base64', file({ content: 'YWJjZ' }), /^attachments\[0\]\.content must be base64$/],
    [
      'an attachment without content',
      { to: [kim], attachments: [{ filename: 'a' }] },
      /^attachments\[0\]\.content is required$/,
    ],
    [
      'an uploaded attachment',
      { to: [kim], attachments: [{ id: 'upload' }] },
      /^attachments\[0\]\.id is not supported: /,
    ],
    ['a filename with a line break', file({ filename: 'a\r\nX: y' }), /^attachments\[0\]\.filename must not/],
    [
      'a media type with a line break',
      file({ content_type: 'text/plain\r\nX: y' }),
      /^attachments\[0\]\.content_type must/,
    ],
    ['a multipart attachment', file({ content_type: 'multipart/mixed' }), /^attachments\[0\]\.content_type must/],
    ['a content id with a space', file({ content_id: 'a b' }), /^attachments\[0\]\.content_id must/],
    [
      'an unknown disposition',
      file({ content_disposition: 'form-data' }),
      /^attachments\[0\]\.content_disposition must/,
    ],
    [
      'a scheduled time',
      { to: [kim], send_at: 4_000_000_000 },
      /^send_at must be at most 30 days ahead, and is \d+ days ahead$/,
    ],
    ['a draft', { to: [kim], use_draft: true }, /^use_draft is not supported: /],
    ['a template', { to: [kim], template: { id: 'x' } }, /^template is not supported: /],
    ['a signature', { to: [kim], signature_id: 'x' }, /^signature_id is not supported: /],
    [
      'a custom hostname',
      { to: [kim], tracking_options: { opens: true, domain_name: 'track.example.com' } },
      /^tracking_options\.domain_name must be an active custom hostname for this organization$/,
    ],
  ];
  for (const name of [
    'From',
    'to',
    'Bcc',
    'Subject',
    'Date',
    'Message-ID',
    'MIME-Version',
    'Content-Type',
    'DKIM-Signature',
    'Received',
    'Sender',
    'ARC-Seal',
  ]) {
    wrong.push([`the header ${name}`, header(name), new RegExp(`^custom_headers\\[0\\]\\.name must not be ${name}`)]);
  }
  for (const [name, body, message] of wrong) {
    it(name, async () => {
      const answer = await send(body);
      assert.deepEqual([answer.status, answer.at('error.type')], [400, 'api.invalid_request_error'], answer.text);
      assert.match(String(answer.at('error.message')), message);
    });
  }

  it('a selection of fields that does not exist', async () => {
    assert.match(
      String((await send({ to: [kim] }, '?fields=all')).at('error.message')),
      /^fields must be one of standard/,
    );
  });

  it('and nothing of it was sent', async () => {
    const rows = await sender.database.sql`select 1 from messages`;
    assert.equal(rows.length, 0);
  });
});

describe('input that is only unusual', () => {
  it('unknown members and nulls are let through', async () => {
    const answer = await send({
      to: [{ ...kim, name: null }],
      cc: null,
      body: null,
      starred: true,
      use_draft: false,
      send_at: null,
      tracking_options: { opens: null, links: false, label: null },
      something: { new: [1] },
    });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.at('data.cc'), []);
    assert.equal(answer.at('data.tracking_options.label'), '');
  });

  it('base64 in lines, without padding or URL-safe is understood', async () => {
    const content = Buffer.from([251, 255, 254, 1]);
    for (const text of ['+//\r\n+AQ==', '+//+AQ', '-__-AQ==']) {
      const answer = await send(file({ content: text }));
      assert.equal(answer.at('data.attachments.0.size'), content.length, answer.text);
    }
  });

  it('an attachment needs neither name nor type', async () => {
    const answer = await send({ to: [kim], attachments: [{ content: 'YQ==' }] });
    const raw = await sender.call('GET', `/practice/messages/${answer.at('data.id')}/raw`);
    const { attachments } = await PostalMime.parse(raw.bytes);
    assert.deepEqual(
      attachments.map(({ filename, mimeType }) => [filename, mimeType]),
      [[answer.at('data.attachments.0.filename'), answer.at('data.attachments.0.content_type')]],
    );
  });

  it('a reply without our help may name its thread itself', async () => {
    assert.equal((await send(header('In-Reply-To', '<a@example.com>'))).status, 200);
    const both = await send({ ...header('References', '<a@example.com>'), reply_to_message_id: '<b@example.com>' });
    assert.match(String(both.at('error.message')), /^custom_headers\[0\]\.name must not be References together/);
  });

  it('a grant is named in any way a path may name it', async () => {
    for (const identifier of [
      sender.grant.email,
      `email:${sender.grant.email}`,
      `grant:${sender.grant.id}`,
      'sender%40practice.test',
    ]) {
      const answer = await sender.call('POST', `/v3/grants/${identifier}/messages/send`, { to: [kim] });
      assert.equal(answer.status, 200, identifier);
    }
  });

  it('a very deep body is refused or served, never a crash', async () => {
    const deep = `{"to":[{"email":"kim@example.com"}],"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    assert.ok([200, 400].includes((await send(deep)).status));
  });
});
