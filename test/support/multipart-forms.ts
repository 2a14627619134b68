// Forms byte by byte as the SDKs write them (contract 5.2): each has its own idea of one.

export interface FormFile {
  readonly filename: string;
  readonly contentType: string;
  readonly content: Buffer;
  /** Java loses it. */
  readonly contentId?: string;
}

export interface WrittenForm {
  readonly contentType: string;
  readonly body: Buffer;
  /** False: the SDK sends it chunked. */
  readonly hasLength: boolean;
}

export type SdkForm = (message: object, files: readonly FormFile[]) => WrittenForm;

/** A part: its lines of headers and its content. */
export type RawPart = readonly [headers: readonly string[], content: Buffer | string];

export function formOf(boundary: string, parts: readonly RawPart[], end = '\r\n'): Buffer {
  const written = parts.map(([headers, content]) =>
    Buffer.concat([
      Buffer.from(`--${boundary}\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n`),
      Buffer.from(content),
      Buffer.from('\r\n'),
    ]),
  );
  return Buffer.concat([...written, Buffer.from(`--${boundary}--${end}`)]);
}

/** form-data-encoder 4.1 under nylas 8.4.0. */
const node: SdkForm = (message, files) => {
  const boundary = 'form-data-encoder-q5wnAKZ2ZgvhEYBF';
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    hasLength: false,
    body: formOf(
      boundary,
      [
        [['Content-Disposition: form-data; name="message"'], JSON.stringify(message)],
        ...files.map(({ filename, contentType, content, contentId }, index): RawPart => {
          const name = escaped(contentId ?? `file${index}`);
          const disposition = `Content-Disposition: form-data; name="${name}"; filename="${escaped(filename)}"`;
          return [[disposition, `Content-Type: ${contentType}`], content];
        }),
      ],
      '\r\n\r\n',
    ),
  };
};

/** requests-toolbelt 1.0 on urllib3 2 under nylas 6.17: a file name that is empty marks the message. */
const python: SdkForm = (message, files) => {
  const boundary = 'e0c8c1bd8b8a4e0f9b6b9f5f4f0a7d11';
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    hasLength: true,
    body: formOf(boundary, [
      [
        ['Content-Disposition: form-data; name="message"; filename=""', 'Content-Type: application/json'],
        dumps(message),
      ],
      ...files.map(({ filename, contentType, content, contentId }, index): RawPart => {
        const name = escaped(contentId ?? `file${index}`);
        const disposition = `Content-Disposition: form-data; name="${name}"; filename="${escaped(filename)}"`;
        return [[disposition, `Content-Type: ${contentType}`], content];
      }),
    ]),
  };
};

/** multipart-post 2.4 under nylas 6.8: nothing is escaped, and the message comes last. */
const ruby: SdkForm = (message, files) => {
  const boundary = '-----------RubyMultipartPost';
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    hasLength: true,
    body: formOf(boundary, [
      ...files.map(
        ({ filename, contentType, content, contentId }, index): RawPart => [
          [
            `Content-Disposition: form-data; name="${contentId ?? `file${index}`}"; filename="${filename}"`,
            `Content-Length: ${content.length}`,
            `Content-Type: ${contentType}`,
            'Content-Transfer-Encoding: binary',
          ],
          content,
        ],
      ),
      [['Content-Disposition: form-data; name="message"'], JSON.stringify(message)],
    ]),
  };
};

/** okhttp 4 under nylas 2.18: every part says its length, content ids are lost. */
const java: SdkForm = (message, files) => {
  const boundary = 'f5d1d1a6-0d3d-4f0c-8f3e-0f6f3f0c9b51';
  const json = JSON.stringify(message);
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    hasLength: true,
    body: formOf(boundary, [
      [['Content-Disposition: form-data; name="message"', `Content-Length: ${Buffer.byteLength(json)}`], json],
      ...files.map(({ filename, contentType, content }, index): RawPart => {
        const disposition = `Content-Disposition: form-data; name="file${index}"; filename="${escaped(filename)}"`;
        return [[disposition, `Content-Type: ${contentType}`, `Content-Length: ${content.length}`], content];
      }),
    ]),
  };
};

export const SDK_FORMS = { node, python, ruby, java } as const;

/** As the HTML standard has it. */
function escaped(text: string): string {
  return text.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

/** `json.dumps`: in ASCII, with spaces after commas and colons (outside of strings that is all the same). */
function dumps(value: object): string {
  return JSON.stringify(value, null, 1)
    .replace(/\n */g, ' ')
    .replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A whole request, with its length or in chunks of `piece` bytes. */
export function requestOf(
  { method = 'POST', path, key }: { readonly method?: string; readonly path: string; readonly key: string },
  { contentType, body, hasLength }: WrittenForm,
  piece = 64 * 1024,
): Buffer {
  const head = [
    `${method} ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${key}`,
    `Content-Type: ${contentType}`,
    hasLength ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked',
  ];
  const parts: Buffer[] = [Buffer.from(`${head.join('\r\n')}\r\n\r\n`)];
  if (hasLength) return Buffer.concat([...parts, body]);
  for (let at = 0; at < body.length; at += piece) {
    const chunk = body.subarray(at, at + piece);
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}
