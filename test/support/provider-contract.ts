import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import type { Access, Account, OutgoingMail, Provider, SendOutcome } from '../../src/providers/provider.ts';
import { type DraftHarness, draftContract } from './draft-contract.ts';
import { streamedContract } from './streamed-contract.ts';
import { assertClosed, catchUp, openMailbox, type WatchHarness, watchContract } from './watch-contract.ts';

/** What a provider's test has to supply so that every provider is held to the same suite. */
export interface ProviderHarness<C> extends WatchHarness, DraftHarness {
  readonly provider: Provider<C>;
  readonly account: Account;
  /** Credentials that work. */
  readonly credentials: C;
  /** Well-formed ones that never worked. */
  readonly wrongCredentials: C;
  /** The mails that went out so far, as their recipients got them, newest last. */
  delivered(): Promise<readonly Buffer[]>;
  /** The raw mails in the sender's Sent folder, for providers that leave the copy to us. */
  sentFolder?(): Promise<readonly Buffer[]>;
  /** Makes `credentials`, and what they were renewed to, stop working, as when a password is changed; called last. */
  expire(): Promise<void>;
  close?(): Promise<void>;
}

interface Ground<C> extends ProviderHarness<C> {
  readonly grant: Holder<C>;
}

/** Credentials in a place that keeps what they are exchanged for, as the row of a grant does. */
export interface Holder<C> {
  now: C;
  /** As for a new call. */
  open(): Access<C>;
}

export function holderOf<C>(credentials: C): Holder<C> {
  const holder: Holder<C> = {
    now: credentials,
    open: () => ({
      credentials: holder.now,
      async keep(_before, renewed) {
        holder.now = renewed;
      },
      reread: async () => holder.now,
    }),
  };
  return holder;
}

/** For credentials that are never renewed. */
export function accessTo<C>(credentials: C): Access<C> {
  return holderOf(credentials).open();
}

/** The contract of the `Provider` port. `make` is called once, inside the suite. */
export function providerContract<C>(name: string, make: () => Promise<ProviderHarness<C>>): void {
  describe(`${name} as a provider`, () => {
    let made: Promise<Ground<C>> | null = null;
    const ground = (): Promise<Ground<C>> => {
      made ??= make().then((harness) => ({ ...harness, grant: holderOf(harness.credentials) }));
      return made;
    };
    after(async () => (await made)?.close?.());

    it('says that right credentials work', async () => {
      const at = await ground();
      const before = (await at.delivered()).length;
      const outcome = await at.provider.check(at.account, at.grant.open(), soon());
      assert.deepEqual(outcome, { ...outcome, kind: 'works' });
      assert.equal((await at.delivered()).length, before);
    });

    it('names what is wrong with others', async () => {
      const { provider, account, wrongCredentials } = await ground();
      const outcome = await provider.check(account, accessTo(wrongCredentials), soon());
      assert.equal(outcome.kind, 'problems');
      assert.ok(outcome.problems.length > 0);
      for (const { kind, reason } of outcome.problems) {
        assert.equal(kind, 'unauthorised', reason);
        assert.match(reason, /^\S.*[^.\s]$/);
      }
    });

    it('sends, and says under which Message-ID', async () => {
      const at = await ground();
      const outcome = await sendSample(at, sample(at.account));
      assert.deepEqual(outcome.refused, []);
      const received = await PostalMime.parse((await at.delivered()).at(-1) ?? '');
      assert.equal(received.messageId, outcome.messageId);
      assert.equal(received.subject, 'Zażółć gęślą jaźń');
      assert.equal(received.html?.trim(), '<p>Hello</p>');
    });

    it('shows nobody who got a blind copy', async () => {
      const at = await ground();
      await sendSample(at, sample(at.account));
      assert.doesNotMatch((await at.delivered()).at(-1)?.toString('latin1') ?? '', /hidden@example\.com/i);
    });

    it('finds a mail that it has sent and no other', async () => {
      const at = await ground();
      const mail = sample(at.account);
      const sent = await sendSample(at, mail);
      const copy = { messageId: sent.messageId, raw: mail.raw };
      if (at.provider.wantsCopy(at.grant.now)) {
        assert.equal((await at.provider.keepCopy(at.account, at.grant.open(), copy, soon())).kind, 'kept');
      }
      const found = await at.provider.findSent(at.account, at.grant.open(), sent.messageId, soon());
      assert.equal(found.kind, 'found');
      assert.equal(found.messageId, sent.messageId);
      assert.equal(found.providerMessageId, sent.providerMessageId);
      // Many servers search for a part of the header.
      const [local] = sent.messageId.slice(1).split('@');
      for (const messageId of [`<${randomUUID()}@example.com>`, `<${local}@example.co>`, `<${local}@example>`]) {
        const other = await at.provider.findSent(at.account, at.grant.open(), messageId, soon());
        assert.ok(other.kind === 'absent' || other.kind === 'unsure', other.kind);
      }
    });

    it('keeps a copy once, byte for byte', async () => {
      const at = await ground();
      const { raw, messageId } = sample(at.account);
      const copy = { messageId, raw };
      const first = await at.provider.keepCopy(at.account, at.grant.open(), copy, soon());
      assert.equal(first.kind, at.provider.wantsCopy(at.grant.now) ? 'kept' : 'there');
      const second = await at.provider.keepCopy(at.account, at.grant.open(), copy, soon());
      assert.equal(second.kind, 'there');
      if (at.sentFolder === undefined) return;
      const lying = (await at.sentFolder()).filter((mail) => mail.includes(messageId));
      assert.deepEqual(
        lying.map((mail) => mail.toString('latin1')),
        at.provider.wantsCopy(at.grant.now) ? [raw.toString('latin1')] : [],
      );
    });

    it('keeps a copy once when asked several times at once', async () => {
      const at = await ground();
      if (!at.provider.wantsCopy(at.grant.now)) return;
      const { raw, messageId } = sample(at.account);
      const outcomes = await Promise.all(
        [1, 2, 3].map(() => at.provider.keepCopy(at.account, at.grant.open(), { messageId, raw }, soon())),
      );
      assert.deepEqual(outcomes.map(({ kind }) => kind).sort(), ['kept', 'there', 'there']);
    });

    it('refuses wrong credentials and sends nothing', async () => {
      const { provider, account, wrongCredentials, delivered, sentFolder } = await ground();
      const [before, copies] = [(await delivered()).length, (await sentFolder?.())?.length];
      const mail = sample(account);
      assert.equal((await provider.send(account, accessTo(wrongCredentials), mail, soon())).kind, 'unauthorised');
      assert.equal(
        (await provider.findSent(account, accessTo(wrongCredentials), mail.messageId, soon())).kind,
        'unauthorised',
      );
      if (provider.wantsCopy(wrongCredentials)) {
        assert.equal((await provider.keepCopy(account, accessTo(wrongCredentials), mail, soon())).kind, 'unauthorised');
      }
      assert.equal((await delivered()).length, before);
      assert.equal((await sentFolder?.())?.length, copies);
    });

    it('does nothing once the time is over', async () => {
      const { provider, account, grant, delivered, sentFolder } = await ground();
      const [before, copies] = [(await delivered()).length, (await sentFolder?.())?.length];
      const mail = sample(account);
      const late = AbortSignal.abort();
      const checked = await provider.check(account, grant.open(), late);
      assert.ok(checked.kind === 'problems' && checked.problems.every(({ kind }) => kind === 'unreachable'));
      assert.equal((await provider.send(account, grant.open(), mail, late)).kind, 'unreachable');
      assert.equal((await provider.findSent(account, grant.open(), mail.messageId, late)).kind, 'unreachable');
      if (provider.wantsCopy(grant.now)) {
        assert.equal((await provider.keepCopy(account, grant.open(), mail, late)).kind, 'unreachable');
      }
      assert.equal((await delivered()).length, before);
      assert.equal((await sentFolder?.())?.length, copies);
    });

    streamedContract(ground);

    draftContract(ground);

    watchContract(ground);

    it('refuses credentials that have stopped working', async () => {
      const at = await ground();
      const { provider, account, grant, delivered, expire } = at;
      const before = (await delivered()).length;
      const mailbox = await openMailbox(at);
      const { cursor } = await catchUp(mailbox, null);
      await expire();
      await assertClosed(at, mailbox, cursor);
      assert.equal((await provider.send(account, grant.open(), sample(account), soon())).kind, 'unauthorised');
      const checked = await provider.check(account, grant.open(), soon());
      assert.ok(checked.kind === 'problems' && checked.problems.every(({ kind }) => kind === 'unauthorised'));
      assert.equal((await delivered()).length, before);
    });
  });
}

async function sendSample<C>(
  at: Ground<C>,
  mail: OutgoingMail,
): Promise<Extract<SendOutcome, { readonly kind: 'sent' }>> {
  const outcome = await at.provider.send(at.account, at.grant.open(), mail, soon());
  assert.equal(outcome.kind, 'sent', 'reason' in outcome ? outcome.reason : '');
  return outcome;
}

/** A mail to two people, one of whom gets a blind copy. */
export function sample(
  account: Account,
  messageId = `<${randomUUID()}@example.com>`,
): OutgoingMail & { readonly raw: Buffer } {
  const lines = [
    `From: ${account.email}`,
    'To: Kim <kim@example.com>',
    'Subject: =?UTF-8?B?WmHFvMOzxYLEhyBnxJnFm2zEhSBqYcW6xYQ=?=',
    `Message-ID: ${messageId}`,
    'Date: Fri, 21 Nov 2026 10:00:00 +0000',
    'MIME-Version: 1.0',
    'Content-Type: text/html; charset=utf-8',
    '',
    '<p>Hello</p>',
    '',
  ];
  const envelope = { from: account.email, to: ['kim@example.com', 'hidden@example.com'] };
  return { envelope, messageId, raw: Buffer.from(lines.join('\r\n')) };
}

function soon(): AbortSignal {
  return AbortSignal.timeout(10_000);
}
