// The only reader of the environment. Every setting stands in `.env.example` and docs/operations.md; a test compares them.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { AddressProblem, normalAddress, parseRanges, type Ranges } from './addresses.ts';
import { StartError } from './errors.ts';
import { KeyringProblem, parseKeyring } from './keyring.ts';
import type { LogLevel } from './log.ts';

/** Every process answers links and pixels and records its own hits: `edge` is always among its roles. */
export type Role = 'api' | 'edge' | 'work';

export interface Config {
  readonly port: number;
  readonly host: string;
  /** Origins without a trailing slash. */
  readonly publicUrl: string;
  readonly trackingUrl: string;
  /** True while the public URL is a loopback address: a machine of one's own, not a service for others. */
  readonly loopback: boolean;
  readonly dataDir: string;
  /** Null: the embedded server below `dataDir`. */
  readonly databaseUrl: string | null;
  /** The keyring's text, or null: kept in `dataDir`. */
  readonly secret: string | null;
  readonly apiKey: string | null;
  readonly trustedProxies: Ranges;
  readonly allowPrivateTargets: Ranges;
  /** Certificate authorities of mail servers, PEM, besides the usual ones; null for none. */
  readonly mailCa: string | null;
  /** From where this installation's requests come, as its receivers see it; only shown. */
  readonly outgoingAddresses: readonly string[];
  readonly practice: boolean;
  readonly logLevel: LogLevel;
  readonly roles: ReadonlySet<Role>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Every setting there is, in the order of `.env.example`. */
export const SETTINGS = [
  'PORT',
  'HOST',
  'TELLTALE_PUBLIC_URL',
  'TELLTALE_TRACKING_URL',
  'TELLTALE_DATA_DIR',
  'DATABASE_URL',
  'TELLTALE_SECRET',
  'TELLTALE_API_KEY',
  'TELLTALE_TRUSTED_PROXIES',
  'TELLTALE_ALLOW_PRIVATE_TARGETS',
  'TELLTALE_MAIL_CA_FILE',
  'TELLTALE_OUTGOING_ADDRESSES',
  'TELLTALE_PRACTICE',
  'TELLTALE_LOG_LEVEL',
] as const;

/** Put into every container's environment when a Kubernetes service is called telltale. */
const OF_KUBERNETES = /^TELLTALE_(SERVICE_(HOST|PORT)|PORT(_\d+_|$))/;
const ROLES: readonly Role[] = ['api', 'edge', 'work'];
const LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Reads and checks all settings; throws one StartError that lists every problem. An empty value counts as not set. */
export function loadConfig(env: Environment, args: readonly string[] = []): Config {
  const problems: string[] = [];
  const read = (name: (typeof SETTINGS)[number]): string | null => env[name]?.trim() || null;
  const check = <T>(name: string, parse: () => T, fallback: T): T => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof AddressProblem || error instanceof KeyringProblem))
        throw error;
      problems.push(`${name}: ${error.message}`);
      return fallback;
    }
  };

  for (const name of Object.keys(env)) {
    if (!name.startsWith('TELLTALE_') || OF_KUBERNETES.test(name)) continue;
    if (!SETTINGS.some((known) => known === name)) {
      problems.push(`${name}: there is no such setting.${nearest(name)}`);
    }
  }
  const port = check('PORT', () => parsePort(read('PORT') ?? '8080'), 8080);
  const host = check('HOST', () => parseHost(read('HOST') ?? '127.0.0.1'), '127.0.0.1');
  const publicUrl = check(
    'TELLTALE_PUBLIC_URL',
    () => parseOrigin(read('TELLTALE_PUBLIC_URL') ?? `http://localhost:${port}`),
    `http://localhost:${port}`,
  );
  const trackingUrl = check(
    'TELLTALE_TRACKING_URL',
    () => parseOrigin(read('TELLTALE_TRACKING_URL') ?? publicUrl),
    publicUrl,
  );
  const databaseUrl = check('DATABASE_URL', () => parseDatabaseUrl(read('DATABASE_URL')), null);
  const secret = check('TELLTALE_SECRET', () => parseSecret(read('TELLTALE_SECRET')), null);
  if (databaseUrl !== null && secret === null && !problems.some((problem) => problem.startsWith('TELLTALE_SECRET'))) {
    problems.push(
      'TELLTALE_SECRET: must be set when DATABASE_URL is, because several machines may share that database. Make one with: openssl rand -base64 32',
    );
  }
  const loopback = isLoopback(publicUrl);
  const config: Config = {
    port,
    host,
    publicUrl,
    trackingUrl,
    loopback,
    dataDir: resolve(read('TELLTALE_DATA_DIR') ?? 'data'),
    databaseUrl,
    secret,
    apiKey: check('TELLTALE_API_KEY', () => parseApiKey(read('TELLTALE_API_KEY')), null),
    trustedProxies: check('TELLTALE_TRUSTED_PROXIES', () => parseRanges(read('TELLTALE_TRUSTED_PROXIES') ?? ''), NONE),
    allowPrivateTargets: check(
      'TELLTALE_ALLOW_PRIVATE_TARGETS',
      () => parseRanges(read('TELLTALE_ALLOW_PRIVATE_TARGETS') ?? ''),
      NONE,
    ),
    mailCa: check('TELLTALE_MAIL_CA_FILE', () => parseAuthorities(read('TELLTALE_MAIL_CA_FILE')), null),
    outgoingAddresses: check(
      'TELLTALE_OUTGOING_ADDRESSES',
      () => parseAddressList(read('TELLTALE_OUTGOING_ADDRESSES') ?? ''),
      [],
    ),
    practice: check('TELLTALE_PRACTICE', () => parseSwitch(read('TELLTALE_PRACTICE'), loopback), loopback),
    logLevel: check('TELLTALE_LOG_LEVEL', () => oneOf(read('TELLTALE_LOG_LEVEL') ?? 'info', LEVELS), 'info'),
    roles: check('--roles', () => parseRoles(args), new Set(ROLES)),
  };
  if (problems.length > 0) throw new StartError(problems);
  return config;
}

class Problem extends Error {}

const NONE = parseRanges('');

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new Problem(`"${text}" is not a port from 1 to 65535.`);
  return port;
}

function parseHost(text: string): string {
  if (text === 'localhost' || normalAddress(text) !== '') return text;
  throw new Problem(`"${text}" is not an address to listen on, such as 127.0.0.1, 0.0.0.0 or ::.`);
}

function parseOrigin(text: string): string {
  if (!URL.canParse(text)) throw new Problem(`"${text}" is not a URL such as https://mail.example.com.`);
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Problem(`"${text}" is neither http nor https.`);
  if (url.username !== '' || url.password !== '') throw new Problem('must not contain a user name or password.');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new Problem(`"${text}" must be an origin without path, query or fragment: the Nylas SDKs drop a base path.`);
  }
  return url.origin;
}

function parseDatabaseUrl(text: string | null): string | null {
  if (text === null) return null;
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return text;
  throw new Problem('is not a URL such as postgres://user:password@host:5432/telltale.');
}

function parseSecret(text: string | null): string | null {
  if (text !== null) parseKeyring(text);
  return text;
}

function parseApiKey(text: string | null): string | null {
  if (text === null || /^[\x21-\x7e]{8,256}$/.test(text)) return text;
  throw new Problem('must have 8 to 256 visible ASCII characters and no spaces.');
}

function parseAuthorities(file: string | null): string | null {
  if (file === null) return null;
  try {
    const pem = readFileSync(file, 'utf8');
    new X509Certificate(pem); // throws where the first is none
    return pem;
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'no PEM certificate';
    throw new Problem(`"${file}" is no file of certificates in PEM form (${why}).`);
  }
}

/** Addresses and ranges as they were written, each checked. */
function parseAddressList(text: string): readonly string[] {
  parseRanges(text);
  return text.split(/[\s,]+/).filter((part) => part !== '');
}

function parseSwitch(text: string | null, fallback: boolean): boolean {
  return text === null ? fallback : oneOf(text, ['on', 'off']) === 'on';
}

function parseRoles(args: readonly string[]): ReadonlySet<Role> {
  if (args.length === 0) return new Set(ROLES);
  const [, text = args[1]] = /^--roles(?:=(.*))?$/.exec(args[0] ?? '') ?? [];
  const expected = args[0] === '--roles' ? 2 : 1;
  if (text === undefined || args.length !== expected) {
    throw new Problem(
      `"${args.join(' ')}" is not understood; the one option is --roles with some of ${ROLES.join(',')}.`,
    );
  }
  return new Set<Role>(['edge', ...text.split(',').map((role) => oneOf(role.trim(), ROLES))]);
}

function oneOf<T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw new Problem(`"${text}" is none of ${allowed.join(', ')}.`);
  return found;
}

function isLoopback(origin: string): boolean {
  const { hostname } = new URL(origin);
  return hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\./.test(hostname);
}

/** The setting that begins most like `name`, where that is more than the common prefix. */
function nearest(name: string): string {
  const shared = (known: string): number => [...known].findIndex((letter, at) => letter !== name[at]);
  const [best] = [...SETTINGS].sort((a, b) => shared(b) - shared(a));
  return best !== undefined && shared(best) > 'TELLTALE_'.length ? ` Did you mean ${best}?` : '';
}
