// Sends of 3 MB and more, which every SDK writes as a form of its own: what left is parsed back, byte for byte.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { bytesOfAttachment, type CompatGround, type Sdk, startCompatGround } from '../support/compat-ground.ts';
import { type FormFile, formOf, SDK_FORMS } from '../support/multipart-forms.ts';
import { JAVA, PYTHON, RUBY, type WireAnswer, type WireSdk } from '../support/sdk-bytes.ts';
import { sdkError } from '../support/sdk-error.ts';
import { breaches } from './breaches.ts';
import { type Members, REFUSAL, SENT_MESSAGE } from './members.ts';
import { ONE_DRAFT } from './outgoing-members.ts';

type File = NonNullable<Parameters<Sdk['messages']['send']>[0]['requestBody']['attachments']>[number];

let ground: CompatGround;
let sdk: Sdk;
let folder: string;
before(async () => {
  ground = await startCompatGround();
  ({ sdk } = ground);
  folder = await mkdtemp(join(tmpdir(), 'telltale-files-'));
});
after(async () => {
  await ground.close();
  await rm(folder, { recursive: true, force: true });
});

const MB = 1024 * 1024;
const MAIL = {
  to: [{ name: 'Kim Größe', email: 'kim@example.com' }],
  subject: 'Grüße, 世界',
  body: '<p>Hi <a href="https://example.com/a">a</a> <img src="cid:logo"></p>',
};
const TRACKED = { opens: true, links: true, threadReplies: true, label: 'in a form' };

/** Bytes that no encoding leaves alone, with a boundary and line ends of every kind among them. */
function bytes(length: number, seed: string): Buffer {
  const salt = Buffer.from(`\r\n--${seed}\r\n\r\n\n\r\0\xff=3D.\r\n.\r\n`, 'latin1');
  const block = Buffer.concat([createHash('sha512').update(seed).digest(), salt]);
  return Buffer.alloc(length, block);
}

function file(filename: string, content: Buffer, more: object = {}): File {
  return { filename, contentType: 'application/octet-stream', content, size: content.length, ...more };
}

async function send(attachments: readonly File[], changes: object = {}) {
  const requestBody = { ...MAIL, attachments: [...attachments], ...changes };
  const { data } = await sdk.messages.send({ identifier: ground.grant, requestBody });
  return { data, ...(await ground.left(data.id)) };
}

// Without a file of no bytes: a form of nylas 8.4.0 with such a one never ends, whoever takes it.
describe('a form of the Node SDK', () => {
  it('brings buffers, streams and base64, inline or not, and the whole message', async () => {
    const [large, streamed, encoded, logo] = [
      bytes(2 * MB, 'a'),
      bytes(MB + 1, 'b'),
      bytes(70_001, 'c'),
      bytes(500, 'd'),
    ];
    const path = join(folder, 'streamed');
    await writeFile(path, streamed);
    const { data, mail, raw } = await send(
      [
        file('large.bin', large),
        file('"groß" 世界.zip', streamed, { content: createReadStream(path, { highWaterMark: 70_001 }) }),
        file('encoded.pdf', encoded, { contentType: 'application/pdf', content: encoded.toString('base64') }),
        file('logo.png', logo, { contentType: 'image/png', contentId: 'logo', isInline: true }),
      ],
      {
        cc: [{ email: 'cc@example.com' }],
        bcc: [{ email: 'blind@example.com' }],
        replyTo: [{ email: 'desk@practice.test' }],
        from: [{ name: 'Zoë', email: 'zoe@practice.test' }],
        customHeaders: [{ name: 'X-Campaign', value: 'spring' }],
        metadata: { key1: 'a', other_key: 'Größe' },
        trackingOptions: TRACKED,
      },
    );
    assert.ok(bytesOfAttachment(mail, 'large.bin').equals(large));
    assert.ok(bytesOfAttachment(mail, 'encoded.pdf').equals(encoded));
    assert.ok(bytesOfAttachment(mail, 'logo.png').equals(logo));
    const named = mail.attachments.find(({ filename }) => filename?.endsWith('.zip'));
    assert.equal(named?.filename, '"groß" 世界.zip');
    assert.ok(bytesOfAttachment(mail, '"groß" 世界.zip').equals(streamed));
    const shown = mail.attachments.find(({ filename }) => filename === 'logo.png');
    assert.deepEqual([shown?.contentId, shown?.disposition, shown?.mimeType], ['<logo>', 'inline', 'image/png']);
    assert.deepEqual(
      new Map(
        data.attachments?.map(({ filename, size, isInline, contentId }) => [filename, [size, isInline, contentId]]),
      ),
      new Map<string, unknown[]>([
        ['large.bin', [large.length, false, undefined]],
        ['"groß" 世界.zip', [streamed.length, false, undefined]],
        ['encoded.pdf', [encoded.length, false, undefined]],
        ['logo.png', [logo.length, true, 'logo']],
      ]),
    );
    assert.equal(data.subject, MAIL.subject);
    assert.equal(mail.subject, MAIL.subject);
    assert.deepEqual(mail.to, [{ name: 'Kim Größe', address: 'kim@example.com' }]);
    assert.deepEqual(mail.from, { name: 'Zoë', address: 'zoe@practice.test' });
    assert.equal(mail.bcc, undefined);
    assert.match(mail.html ?? '', /href="[^"]+\/c\/[^"]+"/);
    assert.deepEqual(data.trackingOptions, TRACKED);
    assert.deepEqual(Reflect.get(data, 'metadata'), { key1: 'a', otherKey: 'Größe' });
    assert.match(raw.toString('latin1'), /^X-Campaign: spring\r$/m);
    assert.ok(
      raw
        .toString('latin1')
        .split('\r\n')
        .every((line) => line.length <= 998),
    );
  });

  it('begins at 3 MB exactly', async () => {
    for (const length of [3 * MB - 1000, 3 * MB]) {
      const content = bytes(length, 'edge');
      assert.ok(bytesOfAttachment((await send([file('a.bin', content)])).mail, 'a.bin').equals(content));
    }
  });

  it('may have 20 MB in several files', async () => {
    const files = ['a', 'b', 'c', 'd'].map((name) => file(`${name}.bin`, bytes(5 * MB, name)));
    const { mail } = await send(files);
    for (const { filename, content } of files) {
      assert.ok(Buffer.isBuffer(content) && bytesOfAttachment(mail, filename).equals(content), filename);
    }
  });

  it('of more than 25 MB is refused with 413, and nothing leaves', async () => {
    const content = bytes(26 * MB, 'much');
    const error = await sdkError(send([file('much.bin', content)], { subject: 'Too much' }));
    assert.deepEqual([error.statusCode, error.type], [413, 'api.invalid_request_error']);
    assert.match(error.message, /25 MB/);
    assert.deepEqual(await ground.sentWith('Too much'), []);
  });

  it('is refused as JSON would be, by the name of the field', async () => {
    const large = file('a.bin', bytes(3 * MB, 'x'));
    for (const [changes, message] of [
      [{ to: [{ email: 'nobody' }] }, /^to\[0\]\.email must be an address/],
      [{ trackingOptions: { opens: 'yes' } }, /^tracking_options\.opens must be true or false/],
      [{ replyToMessageId: '18ac281f237c934b' }, /^reply_to_message_id: no message/],
      [{ templateId: 1, signatureId: 'x' }, /^signature_id /],
    ] as const) {
      const error = await sdkError(send([large], changes));
      assert.match(error.message, message);
    }
    const odd = await sdkError(send([large, file('b.bin', bytes(5, 'y'), { contentType: 'multipart/mixed' })]));
    assert.equal(odd.statusCode, 400);
  });
});

describe('through a mailbox of its own', () => {
  let mail: BareMail;
  before(async () => {
    mail = await startBareMail();
  });
  after(async () => {
    await mail.close();
  });

  it('a form reaches the mail server byte for byte', async () => {
    const grant = await ground.connect(mail);
    const content = bytes(4 * MB, 'smtp');
    const requestBody = { ...MAIL, attachments: [file('a.bin', content)], trackingOptions: TRACKED };
    const { data } = await sdk.messages.send({ identifier: grant.id, requestBody });
    assert.equal(data.attachments?.[0]?.size, content.length);
    const delivered = await PostalMime.parse(mail.delivered().at(-1) ?? Buffer.alloc(0));
    assert.ok(bytesOfAttachment(delivered, 'a.bin').equals(content));
    assert.equal(delivered.subject, MAIL.subject);
  });
});

/** What the SDK's deserialiser stumbles over fails the test. */
function readable(answer: WireAnswer, members: Members, status = 200): WireAnswer {
  assert.equal(answer.status, status, answer.text);
  assert.deepEqual(breaches(answer, members), [], answer.text);
  return answer;
}

const LARGE = bytes(3 * MB, '---------RubyMultipartPost');
const FILES: readonly FormFile[] = [
  { filename: 'groß.bin', contentType: 'application/octet-stream', content: LARGE },
  { filename: 'logo.png', contentType: 'image/png', content: Buffer.from('\x89PNG\r\n', 'latin1'), contentId: 'logo' },
  { filename: 'empty.txt', contentType: 'text/plain', content: Buffer.alloc(0) },
];
const MESSAGE = { ...MAIL, tracking_options: { opens: true, links: true, thread_replies: true, label: 'in a form' } };

const FORMS: readonly (readonly [caller: WireSdk, form: 'python' | 'ruby' | 'java'])[] = [
  [PYTHON, 'python'],
  [RUBY, 'ruby'],
  [JAVA, 'java'],
];
for (const [caller, name] of FORMS) {
  describe(`a form of ${caller.name}`, () => {
    const written = (message: object, files = FILES) => {
      const { contentType, body } = SDK_FORMS[name](message, files);
      return { contentType, bytes: body };
    };
    const inline = caller !== JAVA; // Java loses the content ids

    it('is sent', async () => {
      const path = `/v3/grants/${caller.segment(ground.email)}/messages/send`;
      const sent = readable(await ground.wire(caller, { method: 'POST', path, form: written(MESSAGE) }), SENT_MESSAGE);
      assert.deepEqual(sent.at('data.tracking_options'), MESSAGE.tracking_options);
      const { mail } = await ground.left(String(sent.at('data.id')));
      for (const { filename, content } of FILES) assert.ok(bytesOfAttachment(mail, filename).equals(content), filename);
      const logo = mail.attachments.find(({ filename }) => filename === 'logo.png');
      assert.deepEqual([logo?.disposition, logo?.contentId], inline ? ['inline', '<logo>'] : ['attachment', undefined]);
      assert.deepEqual(mail.to, [{ name: 'Kim Größe', address: 'kim@example.com' }]);
      assert.equal(mail.subject, MAIL.subject);
      assert.match(mail.html ?? '', /href="[^"]+\/c\/[^"]+"/);
    });

    it('is a draft, changed by another one, and sent', async () => {
      const path = `/v3/grants/${caller.segment(ground.email)}/drafts`;
      const made = readable(await ground.wire(caller, { method: 'POST', path, form: written(MESSAGE) }), ONE_DRAFT);
      const id = String(made.at('data.id'));
      const sizes = [made.at('data.attachments')].flat().map((one) => Reflect.get(Object(one), 'size'));
      assert.deepEqual(
        sizes,
        FILES.map(({ content }) => content.length),
      );
      const other = bytes(3 * MB + 3, 'changed');
      const files = [{ filename: 'other.bin', contentType: 'application/zip', content: other }];
      const plain = written({ subject: 'Changed' }, files);
      // Ruby writes a PUT with another library.
      const form = caller === RUBY ? rubyPut({ subject: 'Changed' }, files) : plain;
      const changed = await ground.wire(caller, { method: 'PUT', path: `${path}/${id}`, form });
      assert.equal(readable(changed, ONE_DRAFT).at('data.subject'), 'Changed');
      const sent = readable(await ground.wire(caller, { method: 'POST', path: `${path}/${id}` }), SENT_MESSAGE);
      const { mail } = await ground.left(String(sent.at('data.id')));
      assert.equal(mail.attachments.length, 1);
      assert.ok(bytesOfAttachment(mail, 'other.bin').equals(other));
      assert.equal(mail.subject, 'Changed');
    });

    it('that cannot be taken is refused in a way it can read', async () => {
      const path = `/v3/grants/${caller.segment(ground.email)}/messages/send`;
      const nobody = await ground.wire(caller, { method: 'POST', path, form: written({ subject: 'x' }) });
      assert.match(String(readable(nobody, REFUSAL, 400).at('error.message')), /^to is required/);
      const contentType = 'multipart/form-data; boundary=x';
      for (const text of [
        '',
        '--x--\r\n',
        '--x\r\nContent-Disposition: form-data; name="message"\r\n\r\n{',
        'nothing',
      ]) {
        const form = { contentType, bytes: Buffer.from(text) };
        readable(await ground.wire(caller, { method: 'POST', path, form }), REFUSAL, 400);
      }
    });
  });
}

/** HTTParty 0.21: the files first, no lengths. */
function rubyPut(
  message: object,
  files: readonly FormFile[],
): { readonly contentType: string; readonly bytes: Buffer } {
  const boundary = '------------------------xwc9nnux-FLsTnpN';
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    bytes: formOf(boundary, [
      ...files.map(({ filename, contentType, content, contentId }, index) => {
        const disposition = `Content-Disposition: form-data; name="${contentId ?? `file${index}`}"; filename="${filename}"`;
        return [[disposition, `Content-Type: ${contentType}`], content] as const;
      }),
      [['Content-Disposition: form-data; name="message"'], JSON.stringify(message)],
    ]),
  };
}

it('a form as Nylas’s own reference has it: the part is called draft, the files attachment', async () => {
  const boundary = 'X';
  const part = (name: string) => `Content-Disposition: form-data; name="${name}"; filename="${name}.bin"`;
  const form = {
    contentType: `multipart/form-data; boundary="${boundary}"`,
    bytes: formOf(boundary, [
      [['Content-Disposition: form-data; name="draft"'], JSON.stringify(MESSAGE)],
      [[part('attachment'), 'Content-Type: application/zip'], bytes(100, 'one')],
      [[part('attachment'), 'Content-Type: application/zip'], bytes(100, 'two')],
    ]),
  };
  const path = `/v3/grants/${ground.grant}/drafts`;
  const made = readable(await ground.wire(PYTHON, { method: 'POST', path, form }), ONE_DRAFT);
  assert.equal([made.at('data.attachments')].flat().length, 2);
});
