import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { accessTo, type ProviderHarness, providerContract } from '../../test/support/provider-contract.ts';
import { practiceProvider } from './practice.ts';
import type { OutgoingMail, PracticeCredentials } from './provider.ts';

const account = { app: 1, grantId: '019a0000-0000-7000-8000-000000000001', email: 'sender@practice.test' };
const credentials: PracticeCredentials = { provider: 'practice', key: 'right' };

/** A store in memory: what a store has to do is tested with grants/practice-mail. */
function memory() {
  const kept: OutgoingMail[] = [];
  const keys = new Set(['right']);
  const id = (messageId: string): string | null => {
    const at = kept.findIndex((mail) => mail.messageId === messageId);
    return at < 0 ? null : String(at);
  };
  return {
    kept,
    keys,
    store: {
      opens: async (_account: unknown, key: string) => keys.has(key),
      keepSent: async (_account: unknown, mail: OutgoingMail) => String(kept.push(mail) - 1),
      findSent: async (_account: unknown, messageId: string) => id(messageId),
    },
  };
}

providerContract('practice', async (): Promise<ProviderHarness<PracticeCredentials>> => {
  const { kept, keys, store } = memory();
  return {
    provider: practiceProvider(store),
    account,
    credentials,
    wrongCredentials: { provider: 'practice', key: 'wrong' },
    delivered: async () => kept.map(({ raw }) => raw),
    expire: async () => {
      keys.delete('right');
    },
  };
});

describe('the practice provider', () => {
  const controller = new AbortController();
  after(() => controller.abort());

  it('keeps nothing when the time runs out while the mailbox is opened', async () => {
    const { kept, store } = memory();
    const provider = practiceProvider({
      ...store,
      opens: async () => {
        controller.abort();
        return true;
      },
    });
    const mail = { envelope: { from: account.email, to: [] }, messageId: '<a@b>', raw: Buffer.alloc(0) };
    assert.equal((await provider.send(account, accessTo(credentials), mail, controller.signal)).kind, 'unreachable');
    assert.equal(kept.length, 0);
  });
});
