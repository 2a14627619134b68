import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { accessTo, type ProviderHarness, providerContract } from '../../test/support/provider-contract.ts';
import { uuidTime, uuidv7 } from '../ids.ts';
import { wholeOf } from './mail-bytes.ts';
import { parseHead } from './mail-head.ts';
import { practiceProvider, practiceSwitchedOff } from './practice.ts';
import type { PracticeStore } from './practice-store.ts';
import type { PracticeCredentials } from './provider.ts';

const account = { app: 1, grantId: '019a0000-0000-7000-8000-000000000001', email: 'sender@practice.test' };
const credentials: PracticeCredentials = { provider: 'practice', key: 'right' };

type Kept = Awaited<ReturnType<PracticeStore['read']>> & object;

/** A store in memory: what a store has to do is tested with grants/practice-mail. */
function memory() {
  const kept: (Kept & { readonly messageId: string | null })[] = [];
  const drafts: Buffer[] = [];
  const keys = new Set(['right']);
  const put = (folder: 'INBOX' | 'SENT', raw: Buffer): string => {
    const id = uuidv7();
    const { messageId } = parseHead(raw);
    kept.push({ id, folder, raw, messageId, size: raw.length, receivedAt: new Date() });
    return id;
  };
  const store: PracticeStore = {
    opens: async (_account, key) => keys.has(key),
    keepSent: async (_account, mail) => put('SENT', await wholeOf(mail.raw)),
    keepDraft: async (_account, { draft, version }) => {
      const raw = version === null ? null : await wholeOf(version.raw);
      const own = drafts.filter((mail) => parseHead(mail).messageId?.startsWith(`<${draft}.`));
      const there = own.find((mail) => version !== null && parseHead(mail).messageId === version.messageId);
      const left = drafts.filter((mail) => mail === there || !own.includes(mail));
      const isNew = raw !== null && there === undefined;
      const isOther = isNew || left.length < drafts.length;
      drafts.splice(0, drafts.length, ...left, ...(isNew ? [raw] : []));
      return isOther;
    },
    findSent: async (_account, messageId) =>
      kept.find((mail) => mail.folder === 'SENT' && mail.messageId === messageId)?.id ?? null,
    later: async (_account, after, given, limit) =>
      kept
        .filter(({ id }) => uuidTime(id) >= after && !given.includes(id))
        .slice(0, limit)
        .map((mail) => ({ ...mail, head: mail.raw })),
    beginnings: async (_account, ids, most) =>
      new Map(kept.filter(({ id }) => ids.includes(id)).map(({ id, raw }) => [id, raw.subarray(0, most)])),
    read: async (_account, id, messageId) =>
      kept.find((mail) => mail.id === id || (messageId !== null && mail.messageId === messageId)) ?? null,
    arrival: (_account, ms, signal) =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', end);
          resolve(false);
        };
        const timer = setTimeout(end, ms);
        signal.addEventListener('abort', end);
      }),
  };
  return { kept, drafts, keys, put, store };
}

providerContract('practice', async (): Promise<ProviderHarness<PracticeCredentials>> => {
  const { kept, drafts, keys, put, store } = memory();
  return {
    provider: practiceProvider(store, { lookMs: 20 }),
    account,
    credentials,
    wrongCredentials: { provider: 'practice', key: 'wrong' },
    delivered: async () => kept.filter(({ folder }) => folder === 'SENT').map(({ raw }) => raw),
    arrive: async (raw) => {
      put('INBOX', raw);
    },
    drafts: {
      list: async () => drafts,
      put: async (raw) => {
        drafts.push(raw);
      },
    },
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

  it('opens nothing where it is switched off', async () => {
    const access = accessTo(credentials);
    const order = { folders: [], since: new Date() };
    const signal = AbortSignal.timeout(1000);
    assert.equal((await practiceSwitchedOff.watch(account, access, order, signal)).kind, 'unreachable');
    assert.equal((await practiceSwitchedOff.read(account, access, [], signal)).kind, 'unreachable');
  });
});
