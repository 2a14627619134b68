// The texts of settings, read and checked. Each reader throws a ValueProblem for what it cannot take.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { normalAddress, parseRanges } from './addresses.ts';
import { parseKeyring } from './keyring.ts';

/** What is wrong with a value; continues its setting's name. */
export class ValueProblem extends Error {}

export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new ValueProblem(`"${text}" is not a port from 1 to 65535.`);
  return port;
}

export function parseHost(text: string): string {
  if (text === 'localhost' || normalAddress(text) !== '') return text;
  throw new ValueProblem(`"${text}" is not an address to listen on, such as 127.0.0.1, 0.0.0.0 or ::.`);
}

export function parseOrigin(text: string): string {
  if (!URL.canParse(text)) throw new ValueProblem(`${shown(text)} is not a URL such as https://mail.example.com.`);
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new ValueProblem(`${shown(text)} is neither http nor https.`);
  if (url.username !== '' || url.password !== '') throw new ValueProblem('must not contain a user name or password.');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw new ValueProblem(
      `${shown(text)} must be an origin without path, query or fragment: the Nylas SDKs drop a base path.`,
    );
  }
  return url.origin;
}

export function parseDatabaseUrl(text: string | null): string | null {
  if (text === null) return null;
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return text;
  throw new ValueProblem('is not a URL such as postgres://user:password@host:5432/telltale.');
}

export function parseSecret(text: string | null): string | null {
  if (text !== null) parseKeyring(text);
  return text;
}

export function parseApiKey(text: string | null): string | null {
  if (text === null || /^[\x21-\x7e]{8,256}$/.test(text)) return text;
  throw new ValueProblem('must have 8 to 256 visible ASCII characters and no spaces.');
}

export function parseAuthorities(file: string | null): string | null {
  if (file === null) return null;
  try {
    const pem = readFileSync(file, 'utf8');
    new X509Certificate(pem); // throws where the first is none
    return pem;
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'no PEM certificate';
    throw new ValueProblem(`${shown(file)} is no file of certificates in PEM form (${why}).`);
  }
}

export function parseNumber(text: string, least: number, most: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new ValueProblem(`"${text}" is not a whole number from ${least} to ${most}.`);
}

export function parseSmtpUrl(text: string | null): string | null {
  if (text === null) return null;
  if (URL.canParse(text)) {
    const { protocol, hostname, pathname, search, hash } = new URL(text);
    const isBare = pathname.replace('/', '') === '' && search === '' && hash === '';
    if ((protocol === 'smtp:' || protocol === 'smtps:') && hostname !== '' && isBare) return text;
  }
  throw new ValueProblem('is not a URL such as smtp://user:password@mail.example.com:587 or smtps://….');
}

const ADDRESS = /[^\s<>@:;,"\\]+@[^\s<>@:;,"\\]+/.source; // a URL with its password is none
const SENDER = new RegExp(`^(?:[^<>\\p{Cc}]*<${ADDRESS}>|${ADDRESS})$`, 'u');

export function parseSender(text: string | null): string | null {
  if (text === null || SENDER.test(text)) return text;
  throw new ValueProblem(
    `${shown(text)} is not an address such as telltale@example.com or "Telltale <telltale@example.com>".`,
  );
}

export function parseCredentialsFile(file: string | null): string | null {
  if (file === null) return null;
  try {
    JSON.parse(readFileSync(file, 'utf8'));
    return file;
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'no JSON';
    throw new ValueProblem(`${shown(file)} is not the path of a credentials file of Google (${why}).`);
  }
}

export function parseHostAndPort(text: string | null): string | null {
  if (text === null || (/^[^\s/\\@?#]+:\d{1,5}$/.test(text) && URL.canParse(`http://${text}`))) return text;
  throw new ValueProblem(`${shown(text)} is not of the form host:port, such as localhost:8085.`);
}

/** Addresses and ranges as they were written, each checked. */
export function parseAddressList(text: string): readonly string[] {
  parseRanges(text);
  return text.split(/[\s,]+/).filter((part) => part !== '');
}

export function parseSwitch(text: string | null, fallback: boolean): boolean {
  return text === null ? fallback : oneOf(text, ['on', 'off']) === 'on';
}

export function oneOf<T extends string>(text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw new ValueProblem(`"${text}" is none of ${allowed.join(', ')}.`);
  return found;
}

const LONGEST_SHOWN = 200;

/** Names of files, hosts and origins as they were given; not what was put there by mistake and may hold a secret. */
function shown(text: string): string {
  return text.length > LONGEST_SHOWN || /[@{\n]/.test(text) ? 'the value (not shown here)' : `"${text}"`;
}
