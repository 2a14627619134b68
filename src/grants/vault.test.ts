import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseKeyring } from '../keyring.ts';
import { makeVault } from './vault.ts';

const OLD = 'the first secret of this house';
const NEW = 'the second secret of this house';
const vault = makeVault(parseKeyring(OLD));

describe('the vault', () => {
  it('opens what it sealed, for the same context only', () => {
    const sealed = vault.seal('grüße', 'grant:1');
    assert.equal(vault.open(sealed, 'grant:1'), 'grüße');
    assert.throws(() => vault.open(sealed, 'grant:2'));
  });

  it('never seals the same text to the same bytes', () => {
    assert.notDeepEqual(vault.seal('x', 'c'), vault.seal('x', 'c'));
  });

  it('seals the empty text', () => {
    assert.equal(vault.open(vault.seal('', 'c'), 'c'), '');
  });

  it('refuses bytes with any one bit changed, and any shorter ones', () => {
    const sealed = vault.seal('secret', 'c');
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      assert.throws(() => vault.open(changed, 'c'), `byte ${at}`);
      assert.throws(() => vault.open(sealed.subarray(0, at), 'c'), `length ${at}`);
    }
  });

  it('seals under the newest key and still opens the older ones', () => {
    const rotated = makeVault(parseKeyring(`1:${OLD},2:${NEW}`));
    const before = vault.seal('kept', 'c');
    const after = rotated.seal('new', 'c');
    assert.equal(before[0], 1);
    assert.equal(after[0], 2);
    assert.equal(rotated.open(before, 'c'), 'kept');
    assert.equal(rotated.open(after, 'c'), 'new');
    assert.throws(() => vault.open(after, 'c'), /key 2, which the keyring does not have/);
  });
});
