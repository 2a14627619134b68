// The only reader of the environment. Every setting stands in `.env.example` and docs/operations.md; a test compares them.
import { resolve } from 'node:path';
import { AddressProblem, parseRanges, type Ranges } from './addresses.ts';
import { StartError } from './errors.ts';
import { KeyringProblem } from './keyring.ts';
import type { LogLevel } from './log.ts';
import {
  oneOf,
  parseAddressList,
  parseApiKey,
  parseAuthorities,
  parseCredentialsFile,
  parseDatabaseUrl,
  parseHost,
  parseHostAndPort,
  parseNumber,
  parseOrigin,
  parsePort,
  parseSecret,
  parseSender,
  parseSmtpUrl,
  parseSwitch,
  ValueProblem,
} from './setting-values.ts';

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
  /** The operator's own mail server for notices to people, and their sender; null: no notices are sent. */
  readonly smtp: { readonly url: string; readonly from: string } | null;
  /** When a destination is called failing and when failed (contract 3.6). */
  readonly health: HealthThresholds;
  /** How long notifications and the history of their deliveries are kept; 0 for ever. */
  readonly notificationDays: number;
  /** How often the folders of a watched mailbox are looked at that tell nothing of news by themselves. */
  readonly mailboxPollSeconds: number;
  /** How much later than its time a scheduled message may leave. */
  readonly scheduleGraceMinutes: number;
  readonly rateLimits: RateLimits;
  readonly google: GoogleSettings;
  readonly practice: boolean;
  readonly logLevel: LogLevel;
  readonly roles: ReadonlySet<Role>;
}

export interface HealthThresholds {
  readonly failingMinutes: number;
  readonly failedHours: number;
  /** Of a destination's attempts. */
  readonly failurePercent: number;
}

/** Of each process; 0 for no limit. */
export interface RateLimits {
  readonly grantRequestsPerSecond: number;
  /** Multipart requests. */
  readonly grantUploadsPerSecond: number;
  readonly applicationRequestsPerSecond: number;
}

export interface GoogleSettings {
  /** Null: what the machine offers (application-default credentials). */
  readonly credentialsFile: string | null;
  /** `host:port` of an emulator that is used instead of the service; null for the service. */
  readonly pubsubEmulator: string | null;
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
  'TELLTALE_SMTP_URL',
  'TELLTALE_SMTP_FROM',
  'TELLTALE_FAILING_MINUTES',
  'TELLTALE_FAILED_HOURS',
  'TELLTALE_FAILURE_PERCENT',
  'TELLTALE_NOTIFICATION_DAYS',
  'TELLTALE_MAILBOX_POLL_SECONDS',
  'TELLTALE_SCHEDULE_GRACE_MINUTES',
  'TELLTALE_GRANT_REQUESTS_PER_SECOND',
  'TELLTALE_GRANT_UPLOADS_PER_SECOND',
  'TELLTALE_APPLICATION_REQUESTS_PER_SECOND',
  'GOOGLE_APPLICATION_CREDENTIALS',
  'PUBSUB_EMULATOR_HOST',
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
      if (!(error instanceof ValueProblem || error instanceof AddressProblem || error instanceof KeyringProblem))
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
  const number = (name: (typeof SETTINGS)[number], fallback: number, least: number, most: number): number =>
    check(name, () => parseNumber(read(name) ?? String(fallback), least, most), fallback);
  const smtpUrl = check('TELLTALE_SMTP_URL', () => parseSmtpUrl(read('TELLTALE_SMTP_URL')), null);
  const smtpFrom = check('TELLTALE_SMTP_FROM', () => parseSender(read('TELLTALE_SMTP_FROM')), null);
  if (smtpUrl !== null && read('TELLTALE_SMTP_FROM') === null) {
    problems.push('TELLTALE_SMTP_FROM: must be set when TELLTALE_SMTP_URL is: the address that notices come from.');
  }
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
    smtp: smtpUrl === null || smtpFrom === null ? null : { url: smtpUrl, from: smtpFrom },
    health: {
      failingMinutes: number('TELLTALE_FAILING_MINUTES', 15, 5, 1_440),
      failedHours: number('TELLTALE_FAILED_HOURS', 72, 1, 720),
      failurePercent: number('TELLTALE_FAILURE_PERCENT', 95, 1, 100),
    },
    notificationDays: number('TELLTALE_NOTIFICATION_DAYS', 90, 0, 36_500),
    mailboxPollSeconds: number('TELLTALE_MAILBOX_POLL_SECONDS', 60, 1, 3600),
    scheduleGraceMinutes: number('TELLTALE_SCHEDULE_GRACE_MINUTES', 1440, 1, 43_200),
    rateLimits: {
      grantRequestsPerSecond: number('TELLTALE_GRANT_REQUESTS_PER_SECOND', 1000, 0, 100_000),
      grantUploadsPerSecond: number('TELLTALE_GRANT_UPLOADS_PER_SECOND', 50, 0, 100_000),
      applicationRequestsPerSecond: number('TELLTALE_APPLICATION_REQUESTS_PER_SECOND', 2000, 0, 100_000),
    },
    google: {
      credentialsFile: check(
        'GOOGLE_APPLICATION_CREDENTIALS',
        () => parseCredentialsFile(read('GOOGLE_APPLICATION_CREDENTIALS')),
        null,
      ),
      pubsubEmulator: check('PUBSUB_EMULATOR_HOST', () => parseHostAndPort(read('PUBSUB_EMULATOR_HOST')), null),
    },
    practice: check('TELLTALE_PRACTICE', () => parseSwitch(read('TELLTALE_PRACTICE'), loopback), loopback),
    logLevel: check('TELLTALE_LOG_LEVEL', () => oneOf(read('TELLTALE_LOG_LEVEL') ?? 'info', LEVELS), 'info'),
    roles: check('--roles', () => parseRoles(args), new Set(ROLES)),
  };
  if (problems.length > 0) throw new StartError(problems);
  return config;
}

const NONE = parseRanges('');

function parseRoles(args: readonly string[]): ReadonlySet<Role> {
  if (args.length === 0) return new Set(ROLES);
  const [, text = args[1]] = /^--roles(?:=(.*))?$/.exec(args[0] ?? '') ?? [];
  const expected = args[0] === '--roles' ? 2 : 1;
  if (text === undefined || args.length !== expected) {
    throw new ValueProblem(
      `"${args.join(' ')}" is not understood; the one option is --roles with some of ${ROLES.join(',')}.`,
    );
  }
  return new Set<Role>(['edge', ...text.split(',').map((role) => oneOf(role.trim(), ROLES))]);
}

function isLoopback(origin: string): boolean {
  const { hostname } = new URL(origin);
  return hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\./.test(hostname);
}

const LEAST_ALIKE = 'TELLTALE_'.length + 3;

/** The setting that begins most like `name`, where that is three letters more than what all have in common. */
function nearest(name: string): string {
  const shared = (known: string): number => {
    const differs = [...known].findIndex((letter, at) => letter !== name[at]);
    return differs < 0 ? known.length : differs;
  };
  const [best] = [...SETTINGS].sort((a, b) => shared(b) - shared(a));
  return best !== undefined && shared(best) >= LEAST_ALIKE ? ` Did you mean ${best}?` : '';
}
