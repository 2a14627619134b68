// What Nylas's own Node SDK, unmodified, is told of drafts that cannot be.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { type DraftCalls, draftCalls, MAIL } from '../support/draft-calls.ts';
import { sdkError } from '../support/sdk-error.ts';

let ground: CompatGround;
let sdk: Sdk;
let create: DraftCalls['create'];
let find: DraftCalls['find'];
let update: DraftCalls['update'];
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
  ({ create, find, update } = draftCalls(ground));
});
after(async () => {
  await ground.close();
});

describe('drafts are refused', () => {
  it('where they are unknown, or another grant’s', async () => {
    const other = await ground.practice('other@practice.test');
    const { id } = await create();
    for (const [identifier, draftId] of [
      [ground.grant, 'dft_unknown'],
      [ground.grant, 'msg_06h004n3bxxtdanee5wf1j3smr'],
      [other, id],
    ] as const) {
      const works = [
        sdk.drafts.find({ identifier, draftId }),
        sdk.drafts.update({ identifier, draftId, requestBody: { subject: 'x' } }),
        sdk.drafts.send({ identifier, draftId }),
        sdk.drafts.destroy({ identifier, draftId }),
      ];
      for (const error of await Promise.all(works.map((work) => sdkError(work)))) {
        assert.deepEqual([error.statusCode, error.type], [404, 'api.not_found_error'], error.message);
      }
    }
    assert.equal((await find(id)).id, id);
  });

  it('to a trial that tracks, made and changed (D5)', async () => {
    const trial = await ground.application('sandbox');
    const identifier = trial.grant;
    const { data } = await trial.sdk.drafts.create({ identifier, requestBody: MAIL });
    for (const option of ['opens', 'links', 'threadReplies']) {
      const trackingOptions = { [option]: true };
      const works = [
        trial.sdk.drafts.create({ identifier, requestBody: { ...MAIL, trackingOptions } }),
        trial.sdk.drafts.update({ identifier, draftId: data.id, requestBody: { trackingOptions } }),
      ];
      for (const error of await Promise.all(works.map((work) => sdkError(work)))) {
        assert.deepEqual(
          [error.statusCode, error.type, error.message],
          [403, 'api.tracking_error', 'Tracking options are not allowed for trial accounts'],
        );
      }
    }
    await trial.sdk.drafts.update({ identifier, draftId: data.id, requestBody: { trackingOptions: { label: 'x' } } });
    assert.ok((await trial.sdk.drafts.send({ identifier, draftId: data.id })).data.id);
  });

  const wrong: readonly (readonly [changes: object, message: RegExp])[] = [
    [{ to: [{ email: 'not an address' }] }, /^to\[0\]\.email must be an address/],
    [{ subject: 'a\r\nBcc: eve@example.com' }, /^subject must not contain line breaks/],
    [{ customHeaders: [{ name: 'From', value: 'x' }] }, /^custom_headers\[0\]\.name must not be From/],
    [
      { attachments: [{ filename: 'a', contentType: 'text/plain', content: '%', size: 1 }] },
      /^attachments\[0\]\.content/,
    ],
    [{ attachments: [{ id: 'upload' }] }, /^attachments\[0\]\.id is not supported/],
    [{ metadata: { key1: 'x'.repeat(501) } }, /^metadata\.key1 /],
    [{ trackingOptions: { domainName: 'links.example.com' } }, /^tracking_options\.domain_name must be an active/],
    [{ starred: 'yes' }, /^starred must be true or false/],
    [{ useDraft: true }, /^use_draft /],
    [{ sendAt: Math.floor(Date.now() / 1000) + 3600 }, /^send_at is not supported in a draft/],
    [{ signatureId: 'sig' }, /^signature_id is not supported/],
    [{ template: { id: 'x' } }, /^template is not supported/],
  ];
  for (const [changes, message] of wrong) {
    it(`with ${JSON.stringify(changes).slice(0, 80)}`, async () => {
      const { id } = await create();
      for (const work of [create(changes), update(id, changes)]) {
        const error = await sdkError(work);
        assert.equal(error.statusCode, 400, error.message);
        assert.match(error.message, message);
      }
      assert.equal((await find(id)).subject, MAIL.subject);
    });
  }
});
