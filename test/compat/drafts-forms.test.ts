// Drafts of 3 MB and more, which Nylas's own Node SDK, unmodified, writes as forms.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { bytesOfAttachment, type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { type DraftCalls, draftCalls, MAIL } from '../support/draft-calls.ts';

let ground: CompatGround;
let sdk: Sdk;
let create: DraftCalls['create'];
let find: DraftCalls['find'];
let send: DraftCalls['send'];
let update: DraftCalls['update'];
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
  ({ create, find, send, update } = draftCalls(ground));
});
after(async () => {
  await ground.close();
});

const TRACKED = { opens: true, links: true, threadReplies: true, label: 'of the draft' };
const LARGE = Buffer.alloc(3 * 1024 * 1024 + 17, 'bytes \0\r\n--of a file');

const trackingOf = (draft: object): unknown => Reflect.get(draft, 'trackingOptions');

describe('a draft whose files are 3 MB and more, which the SDK sends as a form', () => {
  it('is made, and its files leave byte for byte', async () => {
    const small = Buffer.from('\0small\r\n');
    const draft = await create({
      trackingOptions: TRACKED,
      body: '<p><img src="cid:logo"> <a href="https://example.com/">x</a></p>',
      attachments: [
        { filename: 'groß.bin', contentType: 'application/zip', content: LARGE, size: LARGE.length },
        { filename: 'logo.png', contentType: 'image/png', content: Readable.from([small]), contentId: 'logo', size: 8 },
      ],
    });
    assert.deepEqual(
      draft.attachments?.map(({ filename, contentType, size, isInline, contentId }) => [
        filename,
        contentType,
        size,
        isInline,
        contentId,
      ]),
      [
        ['groß.bin', 'application/zip', LARGE.length, false, undefined],
        ['logo.png', 'image/png', small.length, true, 'logo'],
      ],
    );
    assert.deepEqual(trackingOf(draft), TRACKED);
    assert.deepEqual(await find(draft.id), draft);
    const { data, mail } = await send(draft.id);
    assert.ok(bytesOfAttachment(mail, 'groß.bin').equals(LARGE));
    assert.deepEqual(bytesOfAttachment(mail, 'logo.png'), small);
    assert.equal(mail.attachments.find(({ filename }) => filename === 'logo.png')?.contentId, '<logo>');
    assert.equal(data.attachments?.find(({ filename }) => filename === 'groß.bin')?.size, LARGE.length);
    assert.match(mail.html ?? '', /href="[^"]+\/c\//);
  });

  it('gets them by a change, and loses them by another', async () => {
    const { id } = await create();
    const attachments = [{ filename: 'a.bin', contentType: 'application/zip', content: LARGE, size: LARGE.length }];
    const changed = await update(id, { subject: 'With a file', attachments });
    assert.deepEqual(
      changed.attachments?.map(({ filename, size }) => [filename, size]),
      [['a.bin', LARGE.length]],
    );
    assert.deepEqual(changed.to, MAIL.to);
    const kept = await update(id, { subject: 'Still with a file' });
    assert.deepEqual(kept.attachments, changed.attachments);
    const { mail } = await send(id);
    assert.equal(mail.subject, 'Still with a file');
    assert.ok(bytesOfAttachment(mail, 'a.bin').equals(LARGE));
  });

  it('and one whose text alone is as large', async () => {
    const body = `<p>${'x'.repeat(3 * 1024 * 1024)}</p>`;
    const { id } = await create({ body });
    assert.equal((await find(id)).body, body);
    await sdk.drafts.destroy({ identifier: ground.grant, draftId: id });
  });
});
