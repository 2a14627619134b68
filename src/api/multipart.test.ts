import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import {
  type FormGround,
  file,
  json,
  MAIL,
  raw,
  readAnswer,
  sha256,
  startFormGround,
} from '../../test/support/form-ground.ts';
import { type FormFile, type RawPart, SDK_FORMS } from '../../test/support/multipart-forms.ts';
import { RawClient } from '../../test/support/raw-client.ts';

const MB = 1024 * 1024;
const message = json(MAIL);

let ground: FormGround;
before(async () => {
  ground = await startFormGround();
});
after(async () => {
  await ground.close();
});

describe('a form as an SDK writes it', () => {
  const small: FormFile = { filename: 'notes ü.txt', contentType: 'text/plain', content: Buffer.from('Grüße\r\n') };
  const empty: FormFile = { filename: 'empty', contentType: 'application/octet-stream', content: Buffer.alloc(0) };
  const large: FormFile = { filename: 'a (1).pdf', contentType: 'application/pdf', content: randomBytes(3 * MB + 7) };
  const logo: FormFile = { ...small, filename: 'logo.png', contentType: 'image/png', contentId: 'logo' };

  for (const [sdk, write] of Object.entries(SDK_FORMS)) {
    it(`becomes a mail with its files: ${sdk}`, async () => {
      const files = [small, large, empty, logo];
      for (const piece of [64 * 1024, 1_000_003]) {
        const { status, data } = await ground.post(write(MAIL, files), '/v3/mails', piece);
        assert.equal(status, 200);
        assert.deepEqual([data.to, data.subject, data.body], [MAIL.to, MAIL.subject, MAIL.body]);
        assert.deepEqual(
          data.attachments,
          files.map(({ filename, contentType, content, contentId }) => {
            const isInline = contentId !== undefined && sdk !== 'java';
            return {
              filename,
              contentType,
              ...(isInline && { contentId }),
              isInline,
              kind: content === large.content ? 'blob' : 'buffer',
              size: content.length,
              hash: sha256(content),
            };
          }),
        );
      }
    });

    it(`may have no files, and quotation marks in names: ${sdk}`, async () => {
      assert.deepEqual((await ground.post(write(MAIL, []))).data.attachments, []);
      if (sdk === 'ruby') return; // it writes them as they are
      const { data } = await ground.post(write(MAIL, [{ ...small, filename: 'the "best".txt' }]));
      assert.equal(data.attachments[0]?.filename, 'the "best".txt');
    });

    it(`may be written byte by byte: ${sdk}`, async () => {
      const client = await RawClient.open(ground.port);
      for (const byte of ground.request(write(MAIL, [logo, empty]), '/v3/mails', 3)) {
        if (!client.socket.write(Buffer.from([byte]))) await once(client.socket, 'drain');
      }
      const { status, data } = readAnswer(await client.answer());
      client.destroy();
      assert.equal(status, 200);
      assert.equal(data.attachments.length, 2);
    });
  }
});

describe('the JSON part', () => {
  it('is called message or draft, and may come with a file name or a content type', async () => {
    for (const part of [
      message,
      json(MAIL, 'draft'),
      file('name="message"; filename="message.json"', JSON.stringify(MAIL), 'Content-Type: application/json'),
      file('name=message', JSON.stringify(MAIL), 'Content-Type: text/plain; charset=utf-8'),
      file('name="message"', `\uFEFF${JSON.stringify(MAIL)}`),
    ]) {
      const { status, data } = await ground.post(raw([file('name="attachment"; filename="a"'), part]));
      assert.equal(status, 200);
      assert.equal(data.subject, MAIL.subject);
    }
  });

  it('is validated like a JSON body, by field', async () => {
    const wrong: readonly (readonly [unknown, RegExp])[] = [
      [{}, /^to is required$/],
      ['', /^to is required$/],
      ['[]', /^the request body must be an object$/],
      [{ to: [{ email: 5 }] }, /^to\[0\]\.email must be a string$/],
      [{ ...MAIL, to: [{ email: 'kim' }] }, /^to\[0\]\.email must be an address/],
      [{ ...MAIL, subject: 'a\0' }, /^subject must not contain a NUL character$/],
      ['{"to": [],}', /^Invalid JSON payload format\. \(.*position 10/],
      ['{"__proto__": {}}', /^Invalid JSON payload format\. \(it has a member "__proto__"\)$/],
      [Buffer.from('{"subject": "\xfc"}', 'latin1'), /^Invalid JSON payload format\. \(it is not UTF-8\)$/],
      [Buffer.from('{}', 'utf16le'), /^Invalid JSON payload format\./],
      ['['.repeat(1e6), /^Invalid JSON payload format\./],
      [{ ...MAIL, custom_headers: Array(1001).fill({}) }, /^custom_headers must have at most 1000 items$/],
    ];
    for (const [value, expected] of wrong) {
      const { status, error } = await ground.post(raw([json(value)]));
      assert.equal(status, 400);
      assert.match(error.message, expected);
    }
  });

  it('has nulls that count as not given', async () => {
    assert.equal(
      (await ground.post(raw([json({ ...MAIL, reply_to: null, attachments: null, use_draft: null })]))).status,
      200,
    );
  });

  it('must be there, once', async () => {
    for (const parts of [[], [file('name="file0"; filename="a"')]]) {
      const { status, error } = await ground.post(raw(parts));
      assert.equal(status, 400);
      assert.match(error.message, /^message is required: the part of the form/);
    }
    const { status, error } = await ground.post(raw([message, json(MAIL, 'draft')]));
    assert.deepEqual([status, error.message], [400, 'draft must be the only part that has the mail as JSON']);
  });

  it('may have 6 MB and no more', async () => {
    const mail = { ...MAIL, body: '' };
    const room = 6 * MB - JSON.stringify(mail).length - 6; // two umlauts and an emoji
    assert.equal((await ground.post(raw([json({ ...mail, body: 'x'.repeat(room) })]))).status, 200);
    const { status, error } = await ground.post(raw([json({ ...mail, body: 'x'.repeat(room + 100) })]));
    assert.deepEqual([status, error.message], [413, 'message is too large: the JSON part may have 6 MB.']);
  });

  it('may name attachments of its own, which come first', async () => {
    const own = { filename: 'own', content: Buffer.from('own').toString('base64'), size: 3 };
    const { data } = await ground.post(
      raw([file('name="file0"; filename="a"'), json({ ...MAIL, attachments: [own] })]),
    );
    assert.deepEqual(
      data.attachments.map(({ filename }) => filename),
      ['own', 'a'],
    );
  });
});

describe('the files', () => {
  const shown = async (...parts: RawPart[]): Promise<readonly Record<string, unknown>[]> => {
    const { status, data, error } = await ground.post(raw([message, ...parts]));
    assert.equal(status, 200, error?.message);
    return data.attachments;
  };

  it('are named in every way there is', async () => {
    const names = [
      ['filename="a b.txt"', 'a b.txt'],
      ['filename=a.txt', 'a.txt'],
      ["filename*=UTF-8''%C3%BC%20%E2%82%AC.txt", 'ü €.txt'],
      ['filename="u.txt"; filename*=utf-8\'de\'%C3%BC.txt', 'ü.txt'],
      ["filename*=iso-8859-1''%FC.txt", 'ü.txt'],
      ['filename="ü 文書.txt"', 'ü 文書.txt'],
      ['filename="=?utf-8?B?w7w=?="', 'ü'],
      ['filename="a;b=c.txt"', 'a;b=c.txt'],
      ['filename="say \\"hi\\".txt"', 'say "hi".txt'],
      ['filename="say %22hi%22.txt"', 'say "hi".txt'],
      ['filename="x/y.txt"', 'x/y.txt'],
      ['filename=""', 'attachment-12'],
      ['other="x"', 'attachment-13'],
      ['filename="C:\\temp\\new.txt"', 'C:\\temp\\new.txt'],
      ['filename="a\\\\b.txt"', 'a\\b.txt'],
      ['filename="say \\" (1).txt"', 'say " (1).txt'],
    ];
    const parts = names.map(([given], index) => file(`name="file${index}"; ${given}`));
    assert.deepEqual(
      (await shown(...parts)).map(({ filename }) => filename),
      names.map(([, name]) => name),
    );
  });

  it('are inline where their part has the name of a content id', async () => {
    const attachments = await shown(
      file('name="file0"; filename="a"'),
      file('name="file12"; filename="a"'),
      file('name="attachment"; filename="a"'),
      file('name=""; filename="a"'),
      file('name="logo"; filename="a"'),
      file('name="<image@1>"; filename="a"'),
      file('name="file"; filename="a"'),
    );
    assert.deepEqual(
      attachments.map(({ contentId, isInline }) => [contentId, isInline]),
      [
        [undefined, false],
        [undefined, false],
        [undefined, false],
        [undefined, false],
        ['logo', true],
        ['image@1', true],
        ['file', true],
      ],
    );
  });

  it('have a file name: what has none was meant for the mail', async () => {
    const { status, error } = await ground.post(raw([message, file('name="subject"')]));
    assert.equal(status, 400);
    assert.match(
      error.message,
      /"subject"\) must have a filename, as files do: members of the mail belong into the part message/,
    );
  });

  it('have a type of their own, or none', async () => {
    const attachments = await shown(
      file('name="file0"; filename="a"', 'x', 'content-type: text/csv; charset=utf-8'),
      file('name="file1"; filename="a"', 'x', 'Content-Type:'),
      file('name="file2"; filename="a"'),
    );
    assert.deepEqual(
      attachments.map(({ contentType }) => contentType),
      ['text/csv; charset=utf-8', 'application/octet-stream', 'application/octet-stream'],
    );
  });

  it('stay in memory up to 128 kB each and 1 MB together', async () => {
    const of = (size: number): RawPart => file('name="attachment"; filename="a"', Buffer.alloc(size, 'x'));
    const sizes = [128 * 1024, 128 * 1024 + 1, ...Array(7).fill(128 * 1024), 1, 0];
    const attachments = await shown(...sizes.map(of));
    assert.deepEqual(
      attachments.map(({ kind }) => kind),
      ['buffer', 'blob', ...Array(7).fill('buffer'), 'blob', 'buffer'],
    );
    assert.deepEqual(
      attachments.map(({ size }) => size),
      sizes,
    );
  });

  it('may be 1,000', async () => {
    const parts = Array.from({ length: 1000 }, (_, index) =>
      file(`name="file${index}"; filename="${index}"`, `${index}`),
    );
    assert.equal((await shown(...parts)).length, 1000);
    const { status, error } = await ground.post(raw([...parts, file('name="file1000"'), message]));
    assert.deepEqual([status, error.message], [400, 'the form must have at most 1000 files']);
  });

  const wrong: readonly (readonly [string, RawPart, RegExp])[] = [
    [
      'no Content-Disposition',
      [['Content-Type: text/plain'], 'x'],
      /^part 2 of the form must have a Content-Disposition/,
    ],
    ['no name', file('filename="a"'), /^part 2 of the form must have a Content-Disposition of form-data with a name$/],
    ['another disposition', [['Content-Disposition: attachment; name="a"'], 'x'], /^part 2 of the form must have/],
    [
      'a line break in a file name',
      file('name="file0"; filename*=utf-8\'\'a%0D%0AX: y'),
      /its filename must not contain line/,
    ],
    ['a NUL in a file name', file('name="file0"; filename*=utf-8\'\'a%00'), /its filename must not contain/],
    [
      'no media type',
      file('name="file0"', 'x', 'Content-Type: pdf'),
      /^part 2 of the form \("file0"\): its Content-Type must/,
    ],
    ['a multipart', file('name="file0"', 'x', 'Content-Type: multipart/mixed; boundary=c'), /its Content-Type must be/],
    [
      'a name that is no content id',
      file('name="a b"; filename="a"'),
      /^part 2 of the form \("a b"\): its name, which is its content id/,
    ],
    ['base64', file('name="file0"', 'eA==', 'Content-Transfer-Encoding: base64'), /must be binary/],
    ['headers without end', file(`name="${'x'.repeat(20_000)}"`), /part 2 has more than 16 kB of headers/],
  ];
  for (const [name, part, expected] of wrong) {
    it(`are refused by their part: ${name}`, async () => {
      const { status, error } = await ground.post(raw([message, part]));
      assert.equal(status, 400);
      assert.match(error.message, expected);
    });
  }
});

describe('a request with a form', () => {
  it('must have a boundary', async () => {
    for (const type of ['', '; boundary=', `; boundary=${'x'.repeat(71)}`, '; boundary="\xfc"']) {
      const { status, error } = await ground.post({ ...raw([message]), contentType: `multipart/form-data${type}` });
      assert.deepEqual([status, error.message], [400, 'Content-Type must have a boundary of 1 to 70 ASCII characters']);
    }
    for (const type of ['Multipart/Form-Data; Boundary="b"', 'multipart/form-data;charset=utf-8;boundary=b']) {
      assert.equal((await ground.post({ ...raw([message]), contentType: type })).status, 200, type);
    }
  });

  it('is taken where mails are taken, and nowhere else', async () => {
    const { status, error } = await ground.post(raw([message]), '/v3/json-only');
    assert.equal(status, 415);
    assert.match(error.message, /application\/json, or multipart\/form-data where a mail/);
    for (const type of ['multipart/mixed; boundary=b', 'application/x-www-form-urlencoded']) {
      assert.equal((await ground.post({ ...raw([message]), contentType: type })).status, 415);
    }
  });

  it('says what is wrong with it when it ends too early, and takes the next one', async () => {
    const form = raw([message, file('name="file0"; filename="a"', 'x'.repeat(1000))]);
    const client = await RawClient.open(ground.port);
    for (const most of [0, 1, 3, 40, 300, form.body.length - 4]) {
      client.socket.write(ground.request({ ...form, body: form.body.subarray(0, most) }));
      const { status, error } = readAnswer(await client.answer());
      assert.equal(status, 400);
      assert.equal(error.type, 'api.invalid_request_payload');
      assert.match(error.message, /^Invalid multipart payload format\. \((it has no line|it ends before)/);
    }
    client.socket.write(ground.request(form));
    assert.equal((await client.answer()).status, 200);
    client.destroy();
  });
});
