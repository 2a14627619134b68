// Drafts as the Python, Ruby and Java SDKs write their requests and have to read the answers.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CompatGround, startCompatGround } from '../support/compat-ground.ts';
import { PYTHON, RUBY, WIRE_SDKS, type WireAnswer } from '../support/sdk-bytes.ts';
import { breaches } from './breaches.ts';
import { DELETED, type Members, REFUSAL, SENT_MESSAGE } from './members.ts';
import { DRAFT_LIST, ONE_DRAFT } from './outgoing-members.ts';

let ground: CompatGround;
before(async () => {
  ground = await startCompatGround();
});
after(async () => {
  await ground.close();
});

const FULL = {
  to: [{ name: 'Kim Größe', email: 'kim@example.com' }],
  cc: [{ email: 'cc@example.com' }],
  subject: 'Grüße',
  body: '<p>Hi <a href="https://example.com/a">a</a></p>',
  starred: true,
  metadata: { key1: 'on hold' },
  custom_headers: [{ name: 'X-A', value: 'b' }],
  tracking_options: { opens: true, links: true, thread_replies: true, label: 'kept' },
  attachments: [
    { filename: 'a.txt', content_type: 'text/plain', content: 'aGVsbG8=', size: 5 },
    {
      filename: 'b.png',
      content_type: 'image/png',
      content: 'YQ==',
      size: 1,
      content_id: 'b',
      is_inline: true,
      content_disposition: 'inline',
    },
  ],
};

/** What the SDK's deserialiser stumbles over fails the test. */
function readable(answer: WireAnswer, members: Members, status = 200): WireAnswer {
  assert.equal(answer.status, status, answer.text);
  assert.deepEqual(breaches(answer, members), [], answer.text);
  return answer;
}

for (const sdk of WIRE_SDKS) {
  describe(`drafts as ${sdk.name} asks for them`, () => {
    // Python and Ruby leave the @ as it is, Java encodes it.
    const drafts = (id = ''): string =>
      `/v3/grants/${sdk.segment(ground.email)}/drafts${id === '' ? '' : `/${sdk.segment(id)}`}`;
    const make = async (body: object): Promise<string> => {
      const made = readable(await ground.wire(sdk, { method: 'POST', path: drafts(), body }), ONE_DRAFT);
      return String(made.at('data.id'));
    };

    it('made, found, changed and sent', async () => {
      const id = await make(FULL);
      const found = readable(await ground.wire(sdk, { method: 'GET', path: drafts(id) }), {
        ...ONE_DRAFT,
        'data.metadata': 'object',
        'data.tracking_options': 'object',
      });
      assert.equal(found.at('data.subject'), 'Grüße');
      assert.equal(found.at('data.to.0.name'), 'Kim Größe');
      const body = { subject: 'Changed', tracking_options: { label: 'another' } };
      const changed = readable(await ground.wire(sdk, { method: 'PUT', path: drafts(id), body }), ONE_DRAFT);
      assert.deepEqual(changed.at('data.tracking_options'), { ...FULL.tracking_options, label: 'another' });
      assert.deepEqual(changed.at('data.attachments'), found.at('data.attachments'));
      // Python: no Content-Type and Content-Length 0; Java: a JSON Content-Type and no body; Ruby: {}.
      const sent = readable(await ground.wire(sdk, { method: 'POST', path: drafts(id) }), SENT_MESSAGE);
      assert.equal(sent.at('data.object'), 'message');
      assert.deepEqual(sent.at('data.tracking_options'), { ...FULL.tracking_options, label: 'another' });
      assert.equal((await ground.left(String(sent.at('data.id')))).mail.subject, 'Changed');
      const again = await ground.wire(sdk, { method: 'POST', path: drafts(id) });
      assert.equal(readable(again, REFUSAL, 404).at('error.type'), 'api.not_found_error');
    });

    it('of hardly anything', async () => {
      const id = await make({ subject: 'x' });
      readable(await ground.wire(sdk, { method: 'GET', path: drafts(id) }), ONE_DRAFT);
      const refused = await ground.wire(sdk, { method: 'POST', path: drafts(id) });
      assert.match(String(readable(refused, REFUSAL, 400).at('error.message')), /\bto\b/);
    });

    it('deleted', async () => {
      const id = await make(FULL);
      readable(await ground.wire(sdk, { method: 'DELETE', path: drafts(id) }), DELETED);
      readable(await ground.wire(sdk, { method: 'DELETE', path: drafts(id) }), REFUSAL, 404);
    });

    it('listed, in the way it writes each filter', async () => {
      const email = `${sdk.name.toLowerCase()}@practice.test`;
      await ground.practice(email);
      const path = `/v3/grants/${sdk.segment(email)}/drafts`;
      const list = async (query: Parameters<typeof sdk.query>[0]): Promise<unknown[]> => {
        const answer = readable(await ground.wire(sdk, { method: 'GET', path, query }), DRAFT_LIST);
        return [answer.at('data')].flat().map((draft) => Reflect.get(Object(draft), 'subject'));
      };
      for (const draft of [
        FULL,
        { to: [{ email: 'lee@example.com' }], subject: 'Lee' },
        { to: [{ email: 'max+a@example.com' }], subject: 'a+b c' },
      ]) {
        readable(await ground.wire(sdk, { method: 'POST', path, body: draft }), ONE_DRAFT);
      }
      assert.deepEqual(await list({}), ['a+b c', 'Lee', 'Grüße']);
      assert.deepEqual(await list({ any_email: ['kim@example.com', 'lee@example.com'] }), ['Lee', 'Grüße']);
      assert.deepEqual(await list({ starred: true, has_attachment: true, limit: 2 }), ['Grüße']);
      assert.deepEqual(await list({ starred: false, unread: false }), ['a+b c', 'Lee']);
      assert.deepEqual(await list({ to: ['max+a@example.com'] }), ['a+b c']);
      assert.deepEqual(await list({ subject: 'a+b c' }), ['a+b c']);
      assert.deepEqual(await list({ subject: 'Grüße' }), ['Grüße']);
      assert.deepEqual(await list({ metadata_pair: { key1: 'on hold' } }), ['Grüße']);
      const first = readable(await ground.wire(sdk, { method: 'GET', path, query: { limit: 2 } }), {
        ...DRAFT_LIST,
        next_cursor: 'string',
      });
      const rest = await list({ limit: 2, page_token: String(first.at('next_cursor')) });
      assert.deepEqual(rest, ['Grüße']);
    });
  });
}

describe('the ways of asking', () => {
  it('an address of a grant may come in any of the ways of 5.1', async () => {
    const made = await ground.wire(RUBY, { method: 'POST', path: `/v3/grants/${ground.grant}/drafts`, body: FULL });
    const id = String(readable(made, ONE_DRAFT).at('data.id'));
    for (const form of [
      'sender@practice.test',
      'sender%40practice.test',
      'SENDER@practice.test',
      'email:sender@practice.test',
      'email%3Asender%40practice.test',
      ground.grant,
      `grant:${ground.grant}`,
    ]) {
      const found = await ground.wire(PYTHON, { method: 'GET', path: `/v3/grants/${form}/drafts/${id}` });
      assert.equal(readable(found, ONE_DRAFT).at('data.grant_id'), ground.grant, form);
    }
  });
});
