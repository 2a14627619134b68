import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';

/** Keys by id; those of purpose 'vault' have 32 bytes. */
export interface VaultKeys {
  readonly current: number;
  readonly ids: readonly number[];
  derive(keyId: number, purpose: 'vault'): Buffer;
}

export interface Vault {
  /** One byte key id, 12 bytes nonce, ciphertext, 16 bytes tag. `context` names the row: what is sealed for one opens in no other. */
  seal(plain: string, context: string): Buffer;
  /** Throws where the bytes were not sealed for this context by a key of the ring. */
  open(sealed: Buffer, context: string): string;
}

const NONCE = 12; // NIST SP 800-38D: 96 random bits stay safe below 2^32 seals under one key
const TAG = 16;

/** AES-256-GCM under the ring's current 'vault' key; opens what any key of the ring sealed. */
export function makeVault(ring: VaultKeys): Vault {
  const keys = new Map<number, KeyObject>(
    ring.ids.map((id): [number, KeyObject] => [id, createSecretKey(ring.derive(id, 'vault'))]),
  );
  const keyOf = (id: number | undefined): KeyObject => {
    const key = id === undefined ? undefined : keys.get(id);
    if (key === undefined) throw new Error(`sealed under key ${id}, which the keyring does not have`);
    return key;
  };
  return {
    seal(plain, context) {
      const head = Buffer.concat([Buffer.of(ring.current), randomBytes(NONCE)]);
      const cipher = createCipheriv('aes-256-gcm', keyOf(ring.current), head.subarray(1));
      cipher.setAAD(Buffer.from(context));
      return Buffer.concat([head, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    },
    open(sealed, context) {
      if (sealed.length < 1 + NONCE + TAG) throw new Error('sealed bytes are cut short');
      const end = sealed.length - TAG;
      const decipher = createDecipheriv('aes-256-gcm', keyOf(sealed[0]), sealed.subarray(1, 1 + NONCE), {
        authTagLength: TAG,
      });
      decipher.setAAD(Buffer.from(context));
      decipher.setAuthTag(sealed.subarray(end));
      return Buffer.concat([decipher.update(sealed.subarray(1 + NONCE, end)), decipher.final()]).toString('utf8');
    },
  };
}
