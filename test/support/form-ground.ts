// The API with routes that take mails as forms and tell what they got of them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Routes } from '../../src/api/http.ts';
import { MessageBody, outgoingOf } from '../../src/api/message-body.ts';
import { acceptMultipart, filesOf } from '../../src/api/multipart.ts';
import { answer } from '../../src/api/respond.ts';
import { holdBlobs, readBlob } from '../../src/db/blobs.ts';
import { migrate } from '../../src/db/migrate.ts';
import type { Query } from '../../src/db/pool.ts';
import { ApiError } from '../../src/errors.ts';
import { firstApplication } from '../../src/grants/applications.ts';
import { createKey } from '../../src/grants/keys.ts';
import type { AppSerial } from '../../src/ids.ts';
import type { Attachment } from '../../src/send/compose.ts';
import { startApi } from './api.ts';
import { formOf, type RawPart, requestOf, type WrittenForm } from './multipart-forms.ts';
import { type TestDatabase, testDatabase } from './postgres.ts';
import { type RawAnswer, RawClient } from './raw-client.ts';

export const MAIL = { to: [{ email: 'kim@example.com', name: 'Kim' }], subject: 'Grüße 😀', body: '<p>ü</p>' };

export interface Answered {
  readonly status: number;
  readonly data: Record<string, unknown> & { readonly attachments: readonly Record<string, unknown>[] };
  readonly error: { readonly type: string; readonly message: string };
}

export interface FormGround {
  readonly database: TestDatabase;
  readonly url: string;
  readonly port: number;
  readonly key: string;
  request(form: WrittenForm, path?: string, piece?: number): Buffer;
  post(form: WrittenForm, path?: string, piece?: number): Promise<Answered>;
  /** Ids of the blobs that are there. */
  blobs(): Promise<string[]>;
  close(): Promise<void>;
}

/**
 * `/v3/mails` tells; `/v3/mails/held` holds the blobs too, `/v3/mails/late` answers 504. `/v3/json-only` takes no forms.
 */
export async function startFormGround(): Promise<FormGround> {
  const database = await testDatabase(migrate);
  const { sql } = database;
  const { application } = await firstApplication(sql);
  const { key } = await createKey(sql, application.serial);
  const api = await startApi(sql, [
    mailRoutes(sql, application.serial),
    (http) => http.post('/v3/json-only', async () => ({})),
  ]);
  const port = Number(new URL(api.url).port);
  const request: FormGround['request'] = (form, path = '/v3/mails', piece) => requestOf({ path, key }, form, piece);
  return {
    database,
    url: api.url,
    port,
    key,
    request,
    async post(form, path, piece) {
      const client = await RawClient.open(port);
      try {
        client.socket.write(request(form, path, piece));
        return readAnswer(await client.answer());
      } finally {
        client.destroy();
      }
    },
    async blobs() {
      return (await sql<{ id: string }[]>`select id from blobs order by id`).map(({ id }) => id);
    },
    async close() {
      await api.close();
      await database.drop();
    },
  };
}

export function readAnswer({ status, body }: RawAnswer): Answered {
  const parsed = JSON.parse(Buffer.from(body, 'latin1').toString());
  return { status, data: parsed.data, error: parsed.error };
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export const raw = (parts: readonly RawPart[]): WrittenForm => ({
  contentType: 'multipart/form-data; boundary=b',
  hasLength: true,
  body: formOf('b', parts),
});
export const json = (value: unknown, name = 'message'): RawPart => [
  [`Content-Disposition: form-data; name="${name}"`],
  typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value),
];
export const file = (disposition: string, content: string | Buffer = 'x', ...headers: string[]): RawPart => [
  [`Content-Disposition: form-data; ${disposition}`, ...headers],
  content,
];

function mailRoutes(sql: Query, app: AppSerial): Routes {
  return (http) => {
    acceptMultipart(http, { sql });
    for (const path of ['/v3/mails', '/v3/mails/late', '/v3/mails/held']) {
      http.route<{ Body: MessageBody }>({
        method: ['POST', 'PUT'],
        url: path,
        schema: { body: MessageBody },
        handler: async (request) => {
          const mail = outgoingOf(request.body, filesOf(request));
          const attachments = await Promise.all(mail.attachments.map((attachment) => told(sql, app, attachment)));
          if (path.endsWith('/late')) throw new ApiError(504, 'api.provider_error', 'Too late.');
          if (path.endsWith('/held')) await holdBlobs(sql, app, blobsOf(mail.attachments));
          return answer(request, { ...mail, attachments });
        },
      });
    }
  };
}

function blobsOf(attachments: readonly Attachment[]): string[] {
  return attachments.flatMap(({ content }) => (Buffer.isBuffer(content) ? [] : [content.id]));
}

async function told(sql: Query, app: number, { content, ...attachment }: Attachment): Promise<object> {
  if (Buffer.isBuffer(content)) return { ...attachment, kind: 'buffer', size: content.length, hash: sha256(content) };
  const hash = createHash('sha256');
  for await (const chunk of readBlob(sql, app, content)) hash.update(chunk);
  assert.equal(hash.digest('hex'), content.hash);
  return { ...attachment, kind: 'blob', size: content.size, hash: content.hash };
}
