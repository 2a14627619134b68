// A whole Telltale as `npm start` runs it, for Nylas's own Node SDK and for the bytes that the other SDKs send.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PostalMime, { type Email } from 'postal-mime';
import { connectEmbedded } from '../../src/db/embedded.ts';
import { connect, type Sql } from '../../src/db/pool.ts';
import { createApplication, type Environment } from '../../src/grants/applications.ts';
import { createKey } from '../../src/grants/keys.ts';
import { wireId } from '../../src/ids.ts';
import type { BareMail } from './bare-mail.ts';
import { nylas } from './nylas.ts';
import { callOnWire, type WireAnswer, type WireCall, type WireSdk } from './sdk-bytes.ts';
import { freePort, type Service, startService } from './service.ts';

export type Sdk = ReturnType<typeof nylas>;

export interface CompatGround {
  readonly service: Service;
  readonly sql: Sql;
  readonly sdk: Sdk;
  readonly key: string;
  /** The practice grant. */
  readonly grant: string;
  readonly email: string;
  /** Another application with a practice grant at the same address. */
  application(environment: Environment): Promise<{ readonly sdk: Sdk; readonly key: string; readonly grant: string }>;
  /** Another practice grant of the application. */
  practice(email: string): Promise<string>;
  /** A grant of the application for this mailbox. */
  connect(mail: BareMail): Promise<{ readonly id: string }>;
  /** One call as that SDK makes it, with the application's key. */
  wire(sdk: WireSdk, call: Omit<WireCall, 'key'> & { readonly key?: string }): Promise<WireAnswer>;
  /** The mail that left, as it left. */
  left(messageId: string): Promise<{ readonly mail: Email; readonly raw: Buffer }>;
  /** The ids of what left with this subject, newest first. */
  sentWith(subject: string): Promise<readonly string[]>;
  close(): Promise<void>;
}

export async function startCompatGround(env: Readonly<Record<string, string>> = {}): Promise<CompatGround> {
  const dataDir = await mkdtemp(join(tmpdir(), 'telltale-compat-'));
  const service = await startService({ dataDir, port: await freePort(), env: { ...env } });
  const connection = await connectEmbedded(dataDir);
  assert.ok(connection);
  const sql = connect(connection, { max: 1, applicationName: 'test' });
  const key = await service.apiKey();
  const sdk = nylas({ apiKey: key, apiUri: service.url });
  const get = async (path: string): Promise<Response> =>
    await fetch(service.url + path, { headers: { authorization: `Bearer ${key}` } });
  const practiceOf = async (withKey: string, email: string): Promise<string> => {
    const response = await fetch(`${service.url}/practice/grants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${withKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ email }),
    });
    const text = await response.text();
    assert.ok(response.ok, text);
    return JSON.parse(text).data.id;
  };
  const email = 'sender@practice.test';
  let count = 0;

  return {
    service,
    sql,
    sdk,
    key,
    grant: service.grantId(),
    email,
    async application(environment) {
      count += 1;
      const made = await createApplication(sql, { name: `application ${count}`, environment });
      assert.ok(made);
      const other = await createKey(sql, made.serial);
      const grant = await practiceOf(other.key, email);
      return { sdk: nylas({ apiKey: other.key, apiUri: service.url }), key: other.key, grant };
    },
    practice: (address) => practiceOf(key, address),
    async connect(mail) {
      const { imap, smtp } = mail.credentials;
      const settings = {
        imapUsername: mail.user,
        imapPassword: imap.password,
        imapHost: imap.host,
        imapPort: imap.port,
        smtpHost: smtp.host,
        smtpPort: smtp.port,
      };
      return (await sdk.auth.customAuthentication({ requestBody: { provider: 'imap', settings } })).data;
    },
    wire: (sdk, call) => callOnWire(sdk, service.port, { key, ...call }),
    async left(messageId) {
      const response = await get(`/practice/messages/${messageId}/raw`);
      const raw = Buffer.from(await response.arrayBuffer());
      assert.equal(response.status, 200, raw.toString('utf8', 0, 300));
      return { mail: await PostalMime.parse(raw), raw };
    },
    async sentWith(subject) {
      const { data } = JSON.parse(await (await get('/practice/messages?limit=200')).text());
      const list: readonly unknown[] = Array.isArray(data) ? data : [];
      return list
        .filter((one) => Reflect.get(Object(one), 'subject') === subject)
        .map((one) => wireId('msg', String(Reflect.get(Object(one), 'message_id')).slice(1, 37)));
    },
    async close() {
      await sql.end({ timeout: 1 });
      await service.stop();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

/** The bytes of a mail's attachment. */
export function bytesOfAttachment(mail: Email, filename: string): Buffer {
  const content = mail.attachments.find((one) => one.filename === filename)?.content;
  assert.ok(content instanceof ArrayBuffer, `no attachment ${filename}`);
  return Buffer.from(content);
}

export function headerOf(mail: Email, name: string): string | undefined {
  return mail.headers.find(({ key }) => key === name)?.value;
}
