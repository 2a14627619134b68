// Application-default credentials for Google's APIs, by Google's own library: a key file, workload identity federation,
// what gcloud keeps, or the metadata server.
import { createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { GoogleAuth, JWTInput } from 'google-auth-library';

export type GoogleAccess =
  /** Headers that authorise a request. */
  | { readonly kind: 'access'; readonly headers: Readonly<Record<string, string>> }
  /** `detail` holds nothing secret and no full stop. */
  | { readonly kind: 'timeout' | 'refused' | 'dns' | 'tls'; readonly detail: string };

export interface GoogleCredentials {
  /** Never rejects. Callers at the same time share one question to Google, which is not cut short by any of them. */
  access(withinMs: number): Promise<GoogleAccess>;
  /** Google did not take these headers: the next caller gets others, by the credentials as they lie there then. */
  drop(headers: Readonly<Record<string, string>>): void;
}

export interface GoogleCredentialsDeps {
  /** Null: what the machine offers. */
  readonly credentialsFile: string | null;
  /** The API's host. A key signs for it by itself; no token endpoint is asked. */
  readonly service: string;
}

const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';
/** The library leaves some of its questions without an end of their own, and asks some four times. */
const LONGEST_MS = 10_000;

export function makeGoogleCredentials(deps: GoogleCredentialsDeps): GoogleCredentials {
  let auth: Promise<GoogleAuth> | null = null;
  let underWay: Promise<GoogleAccess> | null = null;
  let newest = '';

  const ask = async (): Promise<GoogleAccess> => {
    auth ??= load(deps);
    const asked = auth;
    try {
      const headers = Object.fromEntries(await (await asked).getRequestHeaders());
      newest = headers.authorization ?? '';
      return { kind: 'access', headers };
    } catch (error) {
      if (auth === asked) auth = null; // the file may have been mended
      if (isNoCredentials(error)) await forgetMetadataServer();
      return explain(error);
    }
  };

  const share = (): Promise<GoogleAccess> => {
    const mine = inTime(ask(), LONGEST_MS).finally(() => {
      if (underWay === mine) underWay = null;
    });
    return mine;
  };

  return {
    access(withinMs) {
      underWay ??= share();
      return inTime(underWay, withinMs);
    },
    drop(headers) {
      if (headers.authorization !== newest) return; // others came since
      auth = null;
      underWay = null;
    },
  };
}

async function inTime(access: Promise<GoogleAccess>, ms: number): Promise<GoogleAccess> {
  const over = new AbortController();
  const late = delay(ms, null, { signal: over.signal, ref: false }).then(
    (): GoogleAccess => ({ kind: 'timeout', detail: 'no access token for Google in time' }),
    () => access,
  );
  try {
    return await Promise.race([access, late]);
  } finally {
    over.abort();
  }
}

/** The library takes 60 ms and 12 MB to load: nobody who has no use for it pays that. */
async function load({ credentialsFile, service }: GoogleCredentialsDeps): Promise<GoogleAuth> {
  const [{ GoogleAuth }, credentials] = await Promise.all([
    import('google-auth-library'),
    credentialsFile === null ? null : readCredentials(credentialsFile),
  ]);
  const auth = new GoogleAuth({
    projectId: 'none', // nobody asks for it, and it would be looked for, by running gcloud among other ways
    clientOptions: { transporterOptions: { timeout: LONGEST_MS, retryConfig: { retry: 0 } } },
    ...(credentials === null ? {} : { credentials }),
  });
  auth.defaultScopes = [SCOPE];
  auth.defaultServicePath = service;
  auth.useJWTAccessWithScope = true;
  return auth;
}

/** The library asks once in a process whether there is one. On a machine that has just begun it comes a little later. */
async function forgetMetadataServer(): Promise<void> {
  (await import('google-auth-library')).gcpMetadata.resetIsAvailableCache();
}

class CredentialsProblem extends Error {}

const TYPES = new Set([
  ...['service_account', 'authorized_user', 'external_account', 'external_account_authorized_user'],
  ...['impersonated_service_account', 'gdch_service_account'],
]);

/** Read here and not by the library, whose errors quote the file. */
async function readCredentials(file: string): Promise<JWTInput> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CredentialsProblem(`cannot be read (${error.code ?? 'unknown'})`);
  });
  const credentials = parse(text);
  if (typeof credentials?.type !== 'string' || !TYPES.has(credentials.type)) {
    throw new CredentialsProblem('is not one that Google makes: its "type" is missing or unknown');
  }
  if (credentials.type !== 'service_account') return credentials;
  const { client_email: email, private_key: key } = credentials;
  if (typeof email !== 'string' || typeof key !== 'string' || !isPrivateKey(key)) {
    throw new CredentialsProblem('has no client_email or no private_key that can be used');
  }
  return credentials;
}

function parse(text: string): JWTInput | null {
  try {
    return JSON.parse(text) as JWTInput | null;
  } catch {
    return null;
  }
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa';
  } catch {
    return false;
  }
}

const NAMES = /^(ENOTFOUND|EAI_\w+|ENODATA|ESERVFAIL)$/;
const CERTIFICATE = /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/;
const NETWORK = /^(ECONN|EPIPE|EHOST|ENET|EADDRNOTAVAIL|ERR_STREAM_PREMATURE_CLOSE)/;

function explain(error: unknown): GoogleAccess {
  if (error instanceof CredentialsProblem) return none('refused', `the credentials file ${error.message}`);
  const answer = member(error, 'response');
  const status = member(answer, 'status');
  if (typeof status === 'number') {
    return none('refused', `the token endpoint answered ${status}${said(member(answer, 'data'))}`);
  }
  const codes = codesOf(error);
  if (codes.some((code) => /^(TimeoutError|AbortError|ETIMEDOUT)$/.test(code))) {
    return none('timeout', 'the token endpoint did not answer in time');
  }
  const [code = ''] = codes.filter((one) => /^[A-Z][A-Z_]+$/.test(one));
  if (NAMES.test(code)) return none('dns', `the token endpoint could not be resolved (${code})`);
  if (CERTIFICATE.test(code)) return none('tls', `no TLS connection to the token endpoint (${code})`);
  if (NETWORK.test(code)) return none('refused', `the token endpoint cannot be reached (${code})`);
  if (isNoCredentials(error)) {
    return none('refused', 'this machine has no credentials and GOOGLE_APPLICATION_CREDENTIALS is not set');
  }
  return none('refused', `the credentials cannot be used${code === '' ? '' : ` (${code})`}`);
}

function isNoCredentials(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Could not load the default credentials');
}

function none(kind: 'timeout' | 'refused' | 'dns' | 'tls', why: string): GoogleAccess {
  return { kind, detail: `no access token for Google: ${why}` };
}

/** RFC 6749 section 5.2 has a code; Google's other APIs an object with a status. */
function said(answer: unknown): string {
  const error = member(answer, 'error');
  const code = typeof error === 'string' ? error : member(error, 'status');
  return typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? ` (${code})` : '';
}

function codesOf(error: unknown): readonly string[] {
  const codes: string[] = [];
  for (let one: unknown = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    codes.push(one.name);
    const code = member(one, 'code');
    if (typeof code === 'string') codes.push(code);
  }
  return codes;
}

function member(value: unknown, name: string): unknown {
  return Reflect.get(Object(value), name);
}
