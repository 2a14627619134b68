// Mails as forms (contract 5.2), as the SDKs write them: one part has the mail as JSON, every other one is a file.
import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { type Blob, dropUnheld, putBlob } from '../db/blobs.ts';
import type { Query } from '../db/pool.ts';
import { ApiError, invalid } from '../errors.ts';
import { mimeField } from '../providers/mime-parameters.ts';
import type { Attachment } from '../send/compose.ts';
import { parseJson } from './body-bounds.ts';
import { type AnyRequest, caller, type Http } from './http.ts';
import { described } from './mail-fields.ts';
import { type Part, partsOf } from './multipart-parts.ts';
import { bytesOf } from './multipart-upload.ts';
import { FORM_LIMIT, SEND_BODY_LIMIT } from './respond.ts';

interface MultipartDeps {
  readonly sql: Query;
}

/** What boundaries, headers and text around the parts may have besides. */
const MOST_AROUND = 1024 * 1024;
const MOST_FILES = 1000;
const LARGEST_BUFFER = 128 * 1024;
/** All files of a request that are kept in memory. */
const MOST_BUFFERED = 1024 * 1024;
const JSON_PARTS = ['message', 'draft'];
/** A part of another name gives its file's content id by it. */
const NAMELESS = /^(?:file\d+|attachment)?$/;
const LONGEST_SHOWN = 100;
const BOUNDARY = /^[\x20-\x7e]{1,70}$/; // RFC 2046 section 5.1.1

interface Form {
  json: { readonly value: unknown } | null;
  readonly files: Attachment[];
  readonly blobs: Blob[];
  /** Bytes of all contents so far. */
  size: number;
  buffered: number;
}

const forms = new WeakMap<object, Form>();

/**
 * Lets the routes of this scope take forms besides JSON: the JSON part becomes the body, and is validated as that.
 * Files that nobody holds once the request has been answered are dropped.
 */
export function acceptMultipart(http: Http, { sql }: MultipartDeps): void {
  http.addContentTypeParser('multipart/form-data', async (request: FastifyRequest, payload: IncomingMessage) => {
    const form: Form = { json: null, files: [], blobs: [], size: 0, buffered: 0 };
    forms.set(request.raw, form);
    return await readForm(sql, request, payload, form);
  });
  http.addHook('onSend', async (request, reply) => {
    const form = forms.get(request.raw);
    // After a 504 the provider may still be reading them; the sweep drops them in time.
    if (form === undefined || form.blobs.length === 0 || reply.statusCode === 504) return;
    const ids = form.blobs.map(({ id }) => id);
    // Not waited for: the mail is sent, with or without a database. What stays is swept.
    dropUnheld(sql, caller(request).app, ids).catch(() => {});
  });
}

/** The files of a request that was a form, in their order; those of more than 128 kB are blobs. */
export function filesOf(request: AnyRequest): readonly Attachment[] {
  return forms.get(request.raw)?.files ?? [];
}

async function readForm(sql: Query, request: FastifyRequest, payload: IncomingMessage, form: Form): Promise<unknown> {
  const boundary = mimeField(request.headers['content-type'] ?? '').parameters.get('boundary') ?? '';
  if (!BOUNDARY.test(boundary)) throw invalid('Content-Type', 'must have a boundary of 1 to 70 ASCII characters');
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > FORM_LIMIT + MOST_AROUND) throw tooLarge(megabytes(announced));
  let number = 0;
  for await (const part of partsOf(within(bytesOf(payload)), boundary)) {
    number += 1;
    const { name, filename, isFile } = nameOf(part, number);
    const at = `part ${number} of the form (${JSON.stringify(name.slice(0, LONGEST_SHOWN))})`;
    const encoding = part.headers.get('content-transfer-encoding')?.toLowerCase() ?? 'binary';
    if (!/^(?:binary|7bit|8bit)$/.test(encoding)) {
      throw invalid(at, 'must be binary: a Content-Transfer-Encoding is not decoded');
    }
    if (!isFile && !JSON_PARTS.includes(name) && !NAMELESS.test(name)) {
      throw invalid(at, 'must have a filename, as files do: members of the mail belong into the part message');
    }
    const content = counted(part, form);
    if (JSON_PARTS.includes(name)) await takeJson(name, content, form);
    else await takeFile(sql, caller(request).app, { at, name, filename, part, content }, form);
  }
  if (form.json === null) throw invalid('message', 'is required: the part of the form that has the mail as JSON');
  return form.json.value;
}

async function takeJson(name: string, content: AsyncIterable<Buffer>, form: Form): Promise<void> {
  if (form.json !== null) throw invalid(name, 'must be the only part that has the mail as JSON');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > SEND_BODY_LIMIT) {
      throw new ApiError(413, 'api.invalid_request_error', `${name} is too large: the JSON part may have 6 MB.`);
    }
    chunks.push(chunk);
  }
  form.json = { value: parseJson(Buffer.concat(chunks)) };
}

interface File {
  /** How it is called in a refusal. */
  readonly at: string;
  readonly name: string;
  readonly filename: string;
  readonly part: Part;
  readonly content: AsyncIterable<Buffer>;
}

async function takeFile(sql: Query, app: number, file: File, form: Form): Promise<void> {
  const { at, name, filename, part } = file;
  if (form.files.length === MOST_FILES) throw invalid('the form', `must have at most ${MOST_FILES} files`);
  const members = { filename: 'filename', content_type: 'Content-Type', content_id: 'name, which is its content id,' };
  const description = described(
    (member) => `${at}: its ${members[member]}`,
    {
      filename,
      content_type: part.headers.get('content-type'),
      ...(!NAMELESS.test(name) && { content_id: name }),
    },
    form.files.length + 1,
  );
  const content = await kept(sql, app, file.content, form);
  form.files.push({ ...description, content, isInline: description.contentId !== undefined });
}

/** In memory what is small. */
async function kept(sql: Query, app: number, content: AsyncIterable<Buffer>, form: Form): Promise<Buffer | Blob> {
  const chunks: Buffer[] = [];
  const rest = content[Symbol.asyncIterator]();
  let size = 0;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) {
      form.buffered += size;
      return Buffer.concat(chunks);
    }
    chunks.push(next.value);
    size += next.value.length;
    if (size > LARGEST_BUFFER || form.buffered + size > MOST_BUFFERED) break;
  }
  const blob = await putBlob(sql, app, joined(chunks, rest));
  form.blobs.push(blob);
  return blob;
}

async function* joined(chunks: Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) yield chunk;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

function nameOf({ headers }: Part, number: number): { name: string; filename: string; isFile: boolean } {
  const written = headers.get('content-disposition') ?? '';
  const { value, parameters } = mimeField(written.replace(BACKSLASH, (_, escaped) => ESCAPED[escaped] ?? '\\\\'));
  const name = parameters.get('name');
  if (value !== 'form-data' || name === undefined) {
    throw invalid(`part ${number} of the form`, 'must have a Content-Disposition of form-data with a name');
  }
  const filename = parameters.get('filename');
  return { name: unquoted(name), filename: unquoted(filename ?? ''), isFile: filename !== undefined };
}

/** Browsers write one as it is, older ones escape it and quotation marks by one: only before those two it is not itself. */
const BACKSLASH = /\\(["\\])?/g;
const ESCAPED: Readonly<Record<string, string>> = { '"': '%22' };

/** Browsers and all four SDKs write a quotation mark so (the HTML standard, multipart/form-data encoding). */
function unquoted(text: string): string {
  return text.replaceAll('%22', '"');
}

async function* counted({ content }: Part, form: Form): AsyncGenerator<Buffer> {
  for await (const chunk of content) {
    form.size += chunk.length;
    if (form.size > FORM_LIMIT) throw tooLarge(MORE);
    yield chunk;
  }
}

async function* within(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > FORM_LIMIT + MOST_AROUND) throw tooLarge(MORE);
    yield chunk;
  }
}

const MORE = `more than ${megabytes(FORM_LIMIT)}`;

function tooLarge(size: string): ApiError {
  return new ApiError(
    413,
    'api.invalid_request_error',
    `The request is too large: it has ${size} MB, and a form may have ${megabytes(FORM_LIMIT)} MB, its files and its JSON part together.`,
  );
}

function megabytes(bytes: number): string {
  return String(Math.round((bytes / (1024 * 1024)) * 10) / 10);
}
