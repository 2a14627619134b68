import { hkdfSync, randomBytes } from 'node:crypto';

export type Purpose = 'token' | 'vault' | 'session' | 'check';

export interface Keyring {
  /** The id new tokens and rows are made with: the highest of the ring. */
  readonly current: number;
  /** Ascending. */
  readonly ids: readonly number[];
  /** 32 bytes, the same for ever for one secret, key id and purpose. Throws for an id that is not in the ring. */
  derive(keyId: number, purpose: Purpose): Buffer;
}

/** The text given as the secret is not a keyring; the message is one sentence for the operator and never quotes a secret. */
export class KeyringProblem extends Error {
  override name = 'KeyringProblem';
}

const SHORTEST_SECRET = 16;
const HIGHEST_ID = 255; // the key id is one byte in every token
// The salt is part of every key ever derived: changing it breaks all links in mail already delivered.
const SALT = 'telltale keyring 1';

/** Reads `secret` (key id 1) or `1:secret,2:secret`; the highest id signs. Throws {@link KeyringProblem}. */
export function parseKeyring(text: string): Keyring {
  const secrets = new Map<number, string>();
  for (const entry of entriesOf(text)) {
    if (secrets.has(entry.id)) throw new KeyringProblem(`The keyring names key id ${entry.id} twice.`);
    secrets.set(entry.id, entry.secret);
  }
  const ids = [...secrets.keys()].sort((a, b) => a - b);
  const derived = new Map<string, Buffer>();
  return {
    current: ids.at(-1) ?? 1,
    ids,
    derive(keyId, purpose) {
      const name = `${purpose} ${keyId}`;
      const known = derived.get(name);
      if (known !== undefined) return known;
      const secret = secrets.get(keyId);
      if (secret === undefined) throw new KeyringProblem(`The keyring has no key with id ${keyId}.`);
      const key = Buffer.from(hkdfSync('sha256', secret, SALT, name, 32));
      derived.set(name, key);
      return key;
    },
  };
}

/** 256 random bits as 43 URL-safe characters, fit for {@link parseKeyring}. */
export function generateSecret(): string {
  return randomBytes(32).toString('base64url');
}

function entriesOf(text: string): { id: number; secret: string }[] {
  const whole = text.trim();
  if (whole === '') throw new KeyringProblem('The secret is empty.');
  const isList = whole.includes(',') || /^\d+:/.test(whole);
  if (!isList) return [{ id: 1, secret: longEnough(1, whole) }];
  return whole.split(',').map((part, index) => {
    const [, digits, secret] = /^\s*(\d{1,3}):(.*?)\s*$/s.exec(part) ?? [];
    if (digits === undefined || secret === undefined)
      throw new KeyringProblem(`Entry ${index + 1} of the keyring is not of the form id:secret.`);
    const id = Number(digits);
    if (id < 1 || id > HIGHEST_ID)
      throw new KeyringProblem(`Key id ${id} is outside 1 to ${HIGHEST_ID} in the keyring.`);
    return { id, secret: longEnough(id, secret) };
  });
}

function longEnough(id: number, secret: string): string {
  if (secret.length >= SHORTEST_SECRET) return secret;
  throw new KeyringProblem(`The secret of key ${id} is shorter than ${SHORTEST_SECRET} characters.`);
}
