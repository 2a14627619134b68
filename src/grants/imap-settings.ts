// The `settings` of an IMAP grant as they are asked for, and what becomes of them.
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import { invalid } from '../errors.ts';
import { knownServers } from '../providers/known-servers.ts';
import type { ImapCredentials, MailServer, OAuthLogin } from '../providers/provider.ts';
import { parsePublicUrl } from '../safe-fetch.ts';
import type { JsonObject } from './grants.ts';
import { isAddress, readAliases, readFolders } from './imap-lists.ts';

export interface ImapSettings {
  readonly email: string;
  readonly credentials: ImapCredentials;
  /** Other addresses of the mailbox, in lower case; null where nothing is said of them. */
  readonly aliases: readonly string[] | null;
  /** What may be shown of them. */
  readonly shown: JsonObject;
}

type Given = Readonly<Record<string, unknown>>;

const NAMES = [
  ...['email', 'imap_username', 'imap_password', 'imap_host', 'imap_port', 'imap_security'],
  ...['smtp_username', 'smtp_password', 'smtp_host', 'smtp_port', 'smtp_security', 'oauth'],
  ...['email_aliases', 'watch_folders'],
];
const OAUTH_NAMES = ['token_url', 'client_id', 'client_secret', 'refresh_token'];
const PORTS = { imap: 993, smtp: 587 } as const; // RFC 8314
const IMPLICIT_TLS = new Set([993, 465]);
const LONGEST_SECRET = 8192;
const HOST = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;

/**
 * Reads the settings of contract 6.2. Hosts may be left out for large providers; elsewhere a grant without `imap_host`
 * can only send. Whatever is wrong is thrown as a 400 naming the field.
 */
export function readImapSettings(given: Given): ImapSettings {
  // What else applications send along changes nothing; a slip in one of these names would.
  const unknown = Object.keys(given).find((name) => /^(imap|smtp|watch_)/.test(name) && !NAMES.includes(name));
  if (unknown !== undefined) {
    throw invalid(`settings.${unknown.slice(0, 50)}`, `is not known; known are ${NAMES.join(', ')}`);
  }
  const username = text(given, 'imap_username') ?? text(given, 'smtp_username') ?? text(given, 'email');
  if (username === null) throw invalid('settings.imap_username', 'is required');
  const email = emailOf(given, username);
  const oauth = readOAuth(given.oauth);
  const password = secret(given, 'imap_password') ?? secret(given, 'smtp_password');
  if (oauth === null && password === null) throw invalid('settings.imap_password', 'is required');

  const smtpHost = host(given, 'smtp_host');
  const imapHost = host(given, 'imap_host');
  const known = knownServers(email);
  if (smtpHost === null && known === null) {
    throw invalid('settings.smtp_host', `is required: the mail servers of ${email.split('@')[1]} are not known here`);
  }
  const smtp = { host: smtpHost ?? known?.smtp.host ?? '', port: smtpHost === null ? known?.smtp.port : PORTS.smtp };
  // Who names the server for sending alone wants a grant that only sends.
  const detected = imapHost === null && smtpHost === null ? known?.imap : null;
  const lonely = ['imap_port', 'imap_security'].find((name) => (given[name] ?? '') !== '');
  if (imapHost === null && !detected && lonely !== undefined)
    throw invalid('settings.imap_host', `is required with ${lonely}`);
  const imap = imapHost === null ? detected : { host: imapHost, port: PORTS.imap };
  const login = { oauth, username, password };
  const credentials: ImapCredentials = {
    provider: 'imap',
    smtp: serverOf('smtp', given, smtp, login),
    imap: imap ? serverOf('imap', given, imap, login) : null,
    ...(oauth !== null && { oauth }),
  };
  const folders = readFolders(given);
  if (folders.length > 0 && credentials.imap === null) {
    throw invalid('settings.watch_folders', 'needs imap_host: without it the grant can only send');
  }
  const shown = { ...shownOf(credentials), ...(folders.length > 0 && { watch_folders: folders }) };
  return { email, credentials, shown, aliases: readAliases(given, email) };
}

/** The field a login was taken from, as its author wrote it. */
export function loginField(given: Given, at: 'smtp' | 'imap'): string {
  if (given.oauth !== undefined) return 'settings.oauth';
  return given[`${at}_password`] === undefined
    ? `settings.${at === 'smtp' ? 'imap' : 'smtp'}_password`
    : `settings.${at}_password`;
}

function shownOf({ smtp, imap, oauth }: ImapCredentials): JsonObject {
  return {
    ...(imap === null
      ? { send_only: true }
      : { imap_host: imap.host, imap_port: imap.port, imap_security: imap.security, imap_username: imap.user }),
    ...{ smtp_host: smtp.host, smtp_port: smtp.port, smtp_security: smtp.security, smtp_username: smtp.user },
    ...(oauth !== undefined && { oauth: true }),
  };
}

function emailOf(given: Given, username: string): string {
  const email = text(given, 'email') ?? username;
  if (isAddress(email)) return email;
  if (given.email !== undefined) throw invalid('settings.email', 'must be an address such as name@example.com');
  throw invalid('settings.email', `is required, because the user name "${username.slice(0, 100)}" is no address`);
}

function serverOf(
  at: 'imap' | 'smtp',
  given: Given,
  where: { readonly host: string; readonly port: number | undefined },
  login: { readonly oauth: OAuthLogin | null; readonly username: string; readonly password: string | null },
): MailServer {
  const port = portOf(given, `${at}_port`) ?? where.port ?? PORTS[at];
  const password = secret(given, `${at}_password`) ?? login.password;
  return {
    host: where.host,
    port,
    security: securityOf(given, `${at}_security`) ?? (IMPLICIT_TLS.has(port) ? 'tls' : 'starttls'),
    user: text(given, `${at}_username`) ?? login.username,
    ...(login.oauth === null && password !== null && { password }),
  };
}

function readOAuth(given: unknown): OAuthLogin | null {
  if (given === undefined || given === null) return null;
  if (typeof given !== 'object' || Array.isArray(given)) throw invalid('settings.oauth', 'must be an object');
  const fields: Given = { ...given };
  const unknown = Object.keys(fields).find((name) => !OAUTH_NAMES.includes(name));
  if (unknown !== undefined) {
    throw invalid(`settings.oauth.${unknown.slice(0, 50)}`, `is not known; known are ${OAUTH_NAMES.join(', ')}`);
  }
  const need = (name: string): string => {
    const value = secret(fields, name, 'settings.oauth.');
    if (value === null) throw invalid(`settings.oauth.${name}`, 'is required');
    return value;
  };
  const tokenUrl = need('token_url');
  const url = parsePublicUrl(tokenUrl);
  if (typeof url === 'object') throw invalid('settings.oauth.token_url', url.problem);
  return {
    tokenUrl,
    clientId: need('client_id'),
    clientSecret: secret(fields, 'client_secret', 'settings.oauth.') ?? '',
    refreshToken: need('refresh_token'),
    accessToken: '',
    expiresAt: 0,
  };
}

/** Null where it is absent or empty. */
function text(given: Given, name: string): string | null {
  const value = secret(given, name)?.trim() ?? null;
  if (value !== null && value.length > 320) throw invalid(`settings.${name}`, 'must have at most 320 characters');
  return value === '' ? null : value;
}

/** As it is, white space included: a password may begin with a space. */
function secret(given: Given, name: string, prefix = 'settings.'): string | null {
  const value = given[name];
  if (value === undefined || value === null || value === '') return null;
  if (typeof value !== 'string') throw invalid(prefix + name, 'must be text');
  if (value.length > LONGEST_SECRET) throw invalid(prefix + name, `must have at most ${LONGEST_SECRET} characters`);
  if (/\p{Cc}/u.test(value)) throw invalid(prefix + name, 'must not contain control characters');
  return value;
}

function host(given: Given, name: string): string | null {
  const written = text(given, name);
  if (written === null) return null;
  const bare = written.replace(/^\[(.*)\]$/, '$1');
  if (isIP(bare) !== 0) return bare;
  const ascii = domainToASCII(written);
  if (ascii.length <= 253 && HOST.test(ascii) && !/^[\d.]+$/.test(ascii)) return ascii;
  throw invalid(`settings.${name}`, 'must be the name or the address of a host, such as mail.example.com');
}

function portOf(given: Given, name: string): number | null {
  const value = given[name];
  if (value === undefined || value === null || value === '') return null;
  const port = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value;
  if (typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw invalid(`settings.${name}`, 'must be a port from 1 to 65535');
}

function securityOf(given: Given, name: string): MailServer['security'] | null {
  const value = text(given, name);
  if (value === null || value === 'tls' || value === 'starttls') return value;
  throw invalid(`settings.${name}`, 'must be tls or starttls');
}
