// What every provider has to do with mails that are read piece by piece.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type StreamedMail, wholeOf } from '../../src/providers/mail-bytes.ts';
import type { Account, OutgoingMail, Provider } from '../../src/providers/provider.ts';
import { type Holder, sample } from './provider-contract.ts';

export interface StreamedGround<C> {
  readonly provider: Provider<C>;
  readonly account: Account;
  readonly grant: Holder<C>;
  delivered(): Promise<readonly Buffer[]>;
  sentFolder?(): Promise<readonly Buffer[]>;
}

/** More than is kept in memory several times at once. */
const LARGE = 1_200_000;

/** The part of the provider contract about large mails, inside its suite. */
export function streamedContract<C>(ground: () => Promise<StreamedGround<C>>): void {
  it('sends a mail that is read piece by piece as it is, and again', async () => {
    const { provider, account, grant, delivered } = await ground();
    const mail = largeSample(account);
    const body = bodyOf(await wholeOf(mail.raw));
    for (let times = 0; times < 2; times++) {
      const outcome = await provider.send(account, grant.open(), mail, soon());
      assert.equal(outcome.kind, 'sent', 'reason' in outcome ? outcome.reason : '');
      const received = (await delivered()).at(-1) ?? Buffer.alloc(0);
      assert.ok(bodyOf(received).equals(body), `${bodyOf(received).length} bytes came of ${body.length}`);
    }
  });

  for (const [what, spoilt] of [
    ['cannot be read to its end', torn],
    ['is shorter than it should be', short],
    ['is longer than it should be', long],
    ['cannot be read at all', gone],
  ] as const) {
    it(`sends nothing of a mail that ${what}, and the next one well`, async () => {
      const { provider, account, grant, delivered } = await ground();
      const before = (await delivered()).length;
      const mail = largeSample(account);
      const outcome = await provider.send(account, grant.open(), { ...mail, raw: spoilt(mail.raw) }, soon());
      assert.equal(outcome.kind, 'unreachable');
      assert.match(outcome.reason, /could not be read/);
      assert.equal((await delivered()).length, before);
      assert.equal((await provider.send(account, grant.open(), sample(account), soon())).kind, 'sent');
      assert.equal((await delivered()).length, before + 1);
    });
  }

  it('keeps copies that are read piece by piece, byte for byte and several at once', async () => {
    const { provider, account, grant, sentFolder } = await ground();
    if (!provider.wantsCopy(grant.now) || sentFolder === undefined) return;
    const mails = [1, 2, 3].map(() => largeSample(account));
    const broken = largeSample(account);
    const [unread, ...kept] = await Promise.all(
      [{ ...broken, raw: torn(broken.raw) }, ...mails].map((copy) =>
        provider.keepCopy(account, grant.open(), copy, soon()),
      ),
    );
    assert.equal(unread?.kind, 'unreachable');
    assert.deepEqual(
      kept.map(({ kind }) => kind),
      ['kept', 'kept', 'kept'],
    );
    const lying = await sentFolder();
    assert.ok(!lying.some((mail) => mail.includes(broken.messageId)));
    for (const { raw, messageId } of mails) {
      const [found, ...more] = lying.filter((mail) => mail.includes(messageId));
      assert.ok(found?.equals(await wholeOf(raw)));
      assert.deepEqual(more, []);
    }
    assert.equal((await provider.keepCopy(account, grant.open(), broken, soon())).kind, 'kept');
    assert.equal((await provider.keepCopy(account, grant.open(), broken, soon())).kind, 'there');
  });
}

/** With every hardship for a stream of lines: pieces end within CRLF, and before dots that begin lines. */
export function largeSample(account: Account, messageId?: string): OutgoingMail & { readonly raw: StreamedMail } {
  const mail = sample(account, messageId);
  const head = mail.raw;
  const line = Buffer.from(`.${'a long line that begins with a dot '.repeat(25)}\r\n..\r\n.\r\n`);
  const whole = Buffer.concat([head, ...Array.from({ length: Math.ceil(LARGE / line.length) }, () => line)]);
  const raw: StreamedMail = {
    size: whole.length,
    head,
    async *read() {
      yield Buffer.alloc(0);
      for (let at = 0, size = 1; at < whole.length; at += size, size = (size * 7 + 3) % 200_000) {
        yield whole.subarray(at, at + size);
      }
    },
  };
  return { ...mail, raw };
}

function torn(mail: StreamedMail): StreamedMail {
  return {
    ...mail,
    async *read() {
      let given = 0;
      for await (const piece of mail.read()) {
        if (given + piece.length > mail.size / 2) throw new Error('the database went away');
        given += piece.length;
        yield piece;
      }
    },
  };
}

function short(mail: StreamedMail): StreamedMail {
  return { ...mail, size: mail.size + 1 };
}

function long(mail: StreamedMail): StreamedMail {
  return { ...mail, size: mail.size - 1 };
}

function gone(mail: StreamedMail): StreamedMail {
  return {
    ...mail,
    read: () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('stored bytes have gone')) }),
    }),
  };
}

function bodyOf(raw: Buffer): Buffer {
  return raw.subarray(raw.indexOf('\r\n\r\n'));
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}
