import assert from 'node:assert/strict';
import { createVerify, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { startTokenEndpoint, type TokenEndpoint } from '../../test/support/token-endpoint.ts';
import { type GoogleAccess, type GoogleCredentials, makeGoogleCredentials } from './google-credentials.ts';

const SERVICE = 'pubsub.googleapis.com';
const WITHIN_MS = 5_000;
const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

interface Context {
  after(release: () => Promise<void>): void;
}

interface Ground {
  readonly credentials: GoogleCredentials;
  readonly file: string;
  write(content: object | string): Promise<void>;
}

async function ground(context: Context, content: object | string | null): Promise<Ground> {
  const folder = await mkdtemp(join(tmpdir(), 'tt-google-'));
  context.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'credentials.json');
  const write = (text: object | string): Promise<void> =>
    writeFile(file, typeof text === 'string' ? text : JSON.stringify(text));
  if (content !== null) await write(content);
  return { credentials: makeGoogleCredentials({ credentialsFile: file, service: SERVICE }), file, write };
}

/** Workload identity federation, whose token endpoint stands in the file. */
async function federated(context: Context): Promise<Ground & { readonly endpoint: TokenEndpoint }> {
  const endpoint = await startTokenEndpoint();
  context.after(() => endpoint.close());
  let given = 0;
  endpoint.answer = (response) => {
    given++;
    reply(response, 200, {
      access_token: `federated-${given}`,
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'Bearer',
      expires_in: 3600,
    });
  };
  const at = await ground(context, null);
  const subject = `${at.file}.subject`;
  await writeFile(subject, 'a subject token');
  await at.write({
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: endpoint.login().tokenUrl,
    credential_source: { file: subject },
  });
  return { ...at, endpoint };
}

function reply(response: ServerResponse, status: number, answer: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

function authorization(access: GoogleAccess): string {
  assert.equal(access.kind, 'access', 'detail' in access ? access.detail : '');
  return 'headers' in access ? (access.headers.authorization ?? '') : '';
}

function accountOf(privateKey: string): object {
  return {
    type: 'service_account',
    client_email: 'sender@project.example',
    private_key: privateKey,
    private_key_id: 'k1',
  };
}

it('signs with the key of a service account for the service alone, and asks nobody', async (t) => {
  const { credentials } = await ground(t, accountOf(pem));
  const [scheme, token = ''] = authorization(await credentials.access(WITHIN_MS)).split(' ');
  assert.equal(scheme, 'Bearer');
  const [head = '', claims = '', signature = ''] = token.split('.');
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString());
  assert.equal(said.iss, 'sender@project.example');
  assert.equal(said.aud, `https://${SERVICE}/`);
  assert.ok(said.exp - said.iat <= 3600);
  const verify = createVerify('RSA-SHA256').update(`${head}.${claims}`);
  assert.ok(verify.verify(key.publicKey, signature, 'base64url'));
});

it('exchanges a federated identity once for many who ask at once, and keeps what it got', async (t) => {
  const { credentials, endpoint } = await federated(t);
  const all = await Promise.all([1, 2, 3].map(() => credentials.access(WITHIN_MS)));
  assert.deepEqual(all.map(authorization), Array(3).fill('Bearer federated-1'));
  assert.equal(authorization(await credentials.access(WITHIN_MS)), 'Bearer federated-1');
  assert.deepEqual(
    endpoint.asked.map((form) => form.get('subject_token')),
    ['a subject token'],
  );
});

it('gets another token for one that was refused, once for many who say so', async (t) => {
  const { credentials, endpoint } = await federated(t);
  const first = await credentials.access(WITHIN_MS);
  assert.ok(first.kind === 'access');
  credentials.drop(first.headers);
  assert.equal(authorization(await credentials.access(WITHIN_MS)), 'Bearer federated-2');
  credentials.drop(first.headers);
  assert.equal(authorization(await credentials.access(WITHIN_MS)), 'Bearer federated-2');
  assert.equal(endpoint.asked.length, 2);
});

it('says what a token endpoint answered, by its code alone, and asks again the next time', async (t) => {
  const { credentials, endpoint } = await federated(t);
  const { answer } = endpoint;
  endpoint.answer = (response) =>
    reply(response, 400, { error: 'invalid_grant', error_description: 'a subject token is bad' });
  assert.deepEqual(await credentials.access(WITHIN_MS), {
    kind: 'refused',
    detail: 'no access token for Google: the token endpoint answered 400 (invalid_grant)',
  });
  endpoint.answer = (response) => void response.writeHead(403).end('a subject token');
  assert.deepEqual(await credentials.access(WITHIN_MS), {
    kind: 'refused',
    detail: 'no access token for Google: the token endpoint answered 403',
  });
  endpoint.answer = answer;
  assert.match(authorization(await credentials.access(WITHIN_MS)), /^Bearer federated-/);
});

it('waits for a token no longer than it may, and hands it to whoever comes later', async (t) => {
  const { credentials, endpoint } = await federated(t);
  let release = (): void => {};
  endpoint.answer = (response) => {
    release = () => reply(response, 200, { access_token: 'late', token_type: 'Bearer', expires_in: 3600 });
  };
  const began = performance.now();
  assert.deepEqual(await credentials.access(100), { kind: 'timeout', detail: 'no access token for Google in time' });
  assert.ok(performance.now() - began < 2_000);
  const second = credentials.access(WITHIN_MS);
  release();
  assert.equal(authorization(await second), 'Bearer late');
  assert.equal(endpoint.asked.length, 1);
});

it('says when the token endpoint is not there', async (t) => {
  const { credentials, endpoint } = await federated(t);
  await endpoint.close();
  assert.deepEqual(await credentials.access(WITHIN_MS), {
    kind: 'refused',
    detail: 'no access token for Google: the token endpoint cannot be reached (ECONNREFUSED)',
  });
});

it('says what is wrong with a file without a word of it, and takes it once it is mended', async (t) => {
  const { credentials, write } = await ground(t, null);
  const problems = [
    [null, 'the credentials file cannot be read (ENOENT)'],
    [`${pem} is no JSON`, 'the credentials file is not one that Google makes: its "type" is missing or unknown'],
    ['null', 'the credentials file is not one that Google makes: its "type" is missing or unknown'],
    [
      { installed: { client_id: 'x', client_secret: 'y' } },
      'the credentials file is not one that Google makes: its "type" is missing or unknown',
    ],
    [
      accountOf(pem.replace('PRIVATE', 'BROKEN')),
      'the credentials file has no client_email or no private_key that can be used',
    ],
    [{ type: 'service_account' }, 'the credentials file has no client_email or no private_key that can be used'],
    [{ type: 'authorized_user' }, 'the credentials cannot be used'],
  ] as const;
  for (const [content, why] of problems) {
    if (content !== null) await write(content);
    assert.deepEqual(await credentials.access(WITHIN_MS), {
      kind: 'refused',
      detail: `no access token for Google: ${why}`,
    });
  }
  await write(accountOf(pem));
  assert.match(authorization(await credentials.access(WITHIN_MS)), /^Bearer ey/);
});

it('says when the machine has no credentials at all', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tt-google-'));
  const before = { ...process.env };
  t.after(async () => {
    process.env = before;
    await rm(folder, { recursive: true });
  });
  process.env.CLOUDSDK_CONFIG = folder;
  process.env.METADATA_SERVER_DETECTION = 'none';
  delete process.env.GOOGLE_APPLICATION_CREDENTIALS;
  const credentials = makeGoogleCredentials({ credentialsFile: null, service: SERVICE });
  assert.deepEqual(await credentials.access(WITHIN_MS), {
    kind: 'refused',
    detail: 'no access token for Google: this machine has no credentials and GOOGLE_APPLICATION_CREDENTIALS is not set',
  });
});

it('finds a metadata server that was not there at first', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tt-google-'));
  const before = { ...process.env };
  const server = createServer((request, response) => {
    response.setHeader('metadata-flavor', 'Google');
    if (request.url?.includes('/token')) {
      reply(response, 200, { access_token: 'of-the-machine', token_type: 'Bearer', expires_in: 3600 });
    } else response.end('ok');
  });
  const listen = (port: number): Promise<void> => new Promise((done) => server.listen(port, '127.0.0.1', done));
  const close = (): Promise<void> => new Promise((done) => server.close(() => done()));
  t.after(async () => {
    process.env = before;
    server.closeAllConnections();
    await close();
    await rm(folder, { recursive: true });
  });
  await listen(0);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await close();
  process.env.CLOUDSDK_CONFIG = folder;
  process.env.GCE_METADATA_HOST = `127.0.0.1:${port}`;
  delete process.env.METADATA_SERVER_DETECTION;
  delete process.env.GOOGLE_APPLICATION_CREDENTIALS;
  const credentials = makeGoogleCredentials({ credentialsFile: null, service: SERVICE });
  assert.equal((await credentials.access(WITHIN_MS)).kind, 'refused');
  await listen(port);
  assert.equal(authorization(await credentials.access(WITHIN_MS)), 'Bearer of-the-machine');
});
