import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import type { Account, OutgoingMail, Provider } from '../../src/providers/provider.ts';

/** What a provider's test has to supply so that every provider is held to the same suite. */
export interface ProviderHarness<C> {
  readonly provider: Provider<C>;
  readonly account: Account;
  /** Credentials that work. */
  readonly credentials: C;
  /** Well-formed ones that never worked. */
  readonly wrongCredentials: C;
  /** The mails that went out so far, as their recipients got them, newest last. */
  delivered(): Promise<readonly Buffer[]>;
  /** Makes `credentials` stop working, as when a password is changed; called last. */
  expire(): Promise<void>;
}

/** The contract of the `Provider` port. `make` is called once, inside the suite. */
export function providerContract<C>(name: string, make: () => Promise<ProviderHarness<C>>): void {
  describe(`${name} as a provider`, () => {
    let made: Promise<ProviderHarness<C>> | null = null;
    const harness = (): Promise<ProviderHarness<C>> => {
      made ??= make();
      return made;
    };

    it('sends, and says under which Message-ID', async () => {
      const { provider, account, credentials, delivered } = await harness();
      const mail = sample(account);
      const outcome = await provider.send(account, credentials, mail, soon());
      assert.equal(outcome.kind, 'sent');
      assert.deepEqual(outcome.refused, []);
      const received = await PostalMime.parse((await delivered()).at(-1) ?? '');
      assert.equal(received.messageId, outcome.messageId);
      assert.equal(received.subject, 'Zażółć gęślą jaźń');
      assert.equal(received.html?.trim(), '<p>Hello</p>');
    });

    it('shows nobody who got a blind copy', async () => {
      const { provider, account, credentials, delivered } = await harness();
      await provider.send(account, credentials, sample(account), soon());
      assert.doesNotMatch((await delivered()).at(-1)?.toString('latin1') ?? '', /hidden@example\.com/i);
    });

    it('finds a mail that it has sent and no other', async () => {
      const { provider, account, credentials } = await harness();
      const sent = await provider.send(account, credentials, sample(account), soon());
      assert.equal(sent.kind, 'sent');
      const found = await provider.findSent(account, credentials, sent.messageId, soon());
      assert.equal(found.kind, 'found');
      assert.equal(found.messageId, sent.messageId);
      assert.equal(found.providerMessageId, sent.providerMessageId);
      const other = await provider.findSent(account, credentials, `<${randomUUID()}@example.com>`, soon());
      assert.ok(other.kind === 'absent' || other.kind === 'unsure', other.kind);
    });

    it('refuses wrong credentials and sends nothing', async () => {
      const { provider, account, wrongCredentials, delivered } = await harness();
      const before = (await delivered()).length;
      const mail = sample(account);
      assert.equal((await provider.send(account, wrongCredentials, mail, soon())).kind, 'unauthorised');
      assert.equal((await provider.findSent(account, wrongCredentials, mail.messageId, soon())).kind, 'unauthorised');
      assert.equal((await delivered()).length, before);
    });

    it('sends nothing once the time is over', async () => {
      const { provider, account, credentials, delivered } = await harness();
      const before = (await delivered()).length;
      const mail = sample(account);
      assert.equal((await provider.send(account, credentials, mail, AbortSignal.abort())).kind, 'unreachable');
      assert.equal(
        (await provider.findSent(account, credentials, mail.messageId, AbortSignal.abort())).kind,
        'unreachable',
      );
      assert.equal((await delivered()).length, before);
    });

    it('refuses credentials that have stopped working', async () => {
      const { provider, account, credentials, delivered, expire } = await harness();
      const before = (await delivered()).length;
      await expire();
      assert.equal((await provider.send(account, credentials, sample(account), soon())).kind, 'unauthorised');
      assert.equal((await delivered()).length, before);
    });
  });
}

function sample(account: Account): OutgoingMail {
  const messageId = `<${randomUUID()}@example.com>`;
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
