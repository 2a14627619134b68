import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { startBareMail } from '../../../test/support/bare-mail.ts';
import { type Said, SILENCE, startScriptedImap } from '../../../test/support/scripted-imap.ts';
import { catchUp, hastyProvider, nextCome, opened, plainMailbox } from '../../../test/support/watching.ts';
import { WatchBroken, type WatchedMailbox, type WatchProblem } from '../watch.ts';
import type { Tempo } from './tempo.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

function raw(subject: string): Buffer {
  return Buffer.from(
    `Message-ID: <${subject}@example.org>\r\nFrom: Kim <kim@example.org>\r\nSubject: ${subject}\r\n\r\nHello\r\n`,
  );
}

function provider(tempo: Partial<Tempo> = {}): ReturnType<typeof hastyProvider> {
  const made = hastyProvider(null, tempo);
  ends.push(() => made.close());
  return made;
}

describe('a watched mailbox without IDLE', () => {
  it('is read by date and polled', async () => {
    const mail = await startBareMail();
    ends.push(() => mail.close());
    mail.put('INBOX', raw('first'));
    mail.put('Sent', raw('sent'));
    const mailbox = await opened(provider(), mail.credentials);
    const first = await catchUp(mailbox, null);
    assert.deepEqual(
      first.mails.map(({ head, folder, isSent }) => [head.subject, folder, isSent]),
      [
        ['first', 'INBOX', false],
        ['sent', 'SENT', true],
      ],
    );
    mail.put('INBOX', raw('second'));
    const second = await nextCome(mailbox, first.cursor);
    assert.deepEqual(
      second.mails.map(({ head, isNew }) => [head.subject, isNew]),
      [['second', true]],
    );
    assert.equal(
      (await mailbox.beginnings([second.mails[0]?.place ?? ''], 11)).values().next().value?.toString(),
      'Message-ID:',
    );
    assert.equal((await mailbox.read(second.mails[0]?.place ?? ''))?.text?.trim(), 'Hello');
  });
});

describe('a watched mailbox on Gmail', () => {
  it('is read in the folder that holds all, and its labels say the rest', async () => {
    const mail = await startBareMail({ gmail: true });
    ends.push(() => mail.close());
    const put = (subject: string, labels: readonly string[]): void => {
      mail.put('All Mail', raw(subject), labels);
    };
    mail.put('INBOX', raw('received'));
    put('received', ['\\Inbox', '\\Important']);
    put('sent', ['\\Sent']);
    put('filed', ['Projects']);
    put('draft', ['\\Draft']);
    const mailbox = await opened(provider(), mail.credentials, { folders: ['*'] });
    const { mails, cursor } = await catchUp(mailbox, null);
    assert.deepEqual(
      mails.map(({ head, folder, isSent, threadKey }) => [head.subject, folder, isSent, threadKey]),
      [
        ['received', 'INBOX', false, '1278455344230334865'],
        ['sent', 'SENT', true, '1278455344230334865'],
        ['filed', 'All Mail', false, '1278455344230334865'],
      ],
    );
    assert.deepEqual((await mailbox.read(mails[2]?.place ?? ''))?.folders, ['Projects']);
    put('new', ['\\Inbox']);
    assert.deepEqual(
      (await nextCome(mailbox, cursor)).mails.map(({ head }) => head.subject),
      ['new'],
    );
  });
});

/** Mails 1 to `count`; `misread` says what becomes of a FETCH of heads. */
async function scripted(
  count: number,
  misread: (uids: readonly number[], said: Said) => string | null,
  more: (said: Said) => string | null = () => null,
): Promise<Awaited<ReturnType<typeof startScriptedImap>>> {
  const server = await startScriptedImap((said) => {
    const own = more(said);
    if (own !== null) return own;
    if (said.line.startsWith('STATUS')) return `* STATUS INBOX (UIDNEXT ${count + 1} UIDVALIDITY 1)\r\n`;
    if (said.line.startsWith('EXAMINE')) {
      return `* ${count} EXISTS\r\n* OK [UIDVALIDITY 1] valid\r\n* OK [UIDNEXT ${count + 1}] next\r\n`;
    }
    const all = Array.from({ length: count }, (_, at) => at + 1);
    const [, from = ''] = /^UID SEARCH (?:UID (\d+):\*|SINCE)/.exec(said.line) ?? [];
    if (said.line.startsWith('UID SEARCH')) return `* SEARCH ${all.filter((uid) => uid >= Number(from)).join(' ')}\r\n`;
    const [, set = '', items = ''] = /^UID FETCH (\S+) (.*)$/.exec(said.line) ?? [];
    if (set === '') return null;
    const uids = set.split(',').flatMap((part) => {
      const [first = 0, last = first] = part.split(':').map(Number);
      return all.filter((uid) => uid >= first && uid <= last);
    });
    if (!items.includes('HEADER.FIELDS')) return uids.map((uid) => `* ${uid} FETCH (UID ${uid})\r\n`).join('');
    return misread(uids, said) ?? uids.map(head).join('');
  });
  ends.push(() => server.close());
  return server;
}

function head(uid: number): string {
  const block = `Message-ID: <${uid}@example.org>\r\n\r\n`;
  return `* ${uid} FETCH (UID ${uid} INTERNALDATE "01-Nov-2026 10:00:00 +0000" RFC822.SIZE 10 BODY[HEADER.FIELDS (DATE)]<0> {${block.length}}\r\n${block})\r\n`;
}

describe('a mail that a server cannot give', () => {
  const uidsOf = (mails: readonly { readonly head: { readonly messageId: string | null } }[]): string[] =>
    mails.map(({ head: { messageId } }) => messageId ?? '');

  for (const [how, misread] of [
    ['is refused as a bad command', (uids) => (uids.includes(13) ? '!BAD Unable to parse' : null)],
    [
      'makes no sense',
      (uids) =>
        uids.includes(13)
          ? uids
              .map((uid) => (uid === 13 ? '* 13 FETCH (UID 13 ((((((((((((((((((((((((((((((\r\n' : head(uid)))
              .join('')
          : null,
    ],
  ] satisfies [string, (uids: readonly number[]) => string | null][]) {
    it(`is passed over where it ${how}`, async () => {
      const server = await scripted(40, misread);
      const mailbox = await opened(provider(), plainMailbox(server.port, 'kim', 'secret'));
      const { mails, pages } = await catchUp(mailbox, null);
      assert.equal(mails.length, 39);
      assert.ok(!uidsOf(mails).includes('<13@example.org>'));
      assert.deepEqual(
        pages.flatMap(({ skipped = [] }) => skipped),
        ['["INBOX","1",13]'],
      );
    });
  }

  for (const [how, opensTaken, misread] of [
    ['broke the connection', 9, ({ socket }) => (socket.destroy().destroyed ? SILENCE : '')],
    ['was refused', 4, () => '!NO [SERVERBUG] Internal error occurred'],
  ] satisfies [string, number, (said: Said) => string][])
    it(`is passed over once it ${how} often enough`, async () => {
      const server = await scripted(600, (uids, said) => (uids.includes(321) ? misread(said) : null));
      const made = provider();
      let [opens, cursor] = [0, null as Awaited<ReturnType<typeof catchUp>>['cursor'] | null];
      const seen = new Set<string>();
      const skipped: string[] = [];
      for (let isOver = false; !isOver && opens < 12; opens++) {
        const mailbox = await opened(made, plainMailbox(server.port, 'kim', 'secret'));
        try {
          for (;;) {
            const page = await mailbox.next(cursor);
            cursor = page.cursor;
            for (const id of uidsOf(page.mails)) seen.add(id);
            skipped.push(...(page.skipped ?? []));
            isOver = page.isLast;
            if (isOver) break;
          }
        } catch (error) {
          assert.ok(error instanceof WatchBroken);
        }
        await mailbox.close();
      }
      assert.deepEqual(skipped, ['["INBOX","1",321]']);
      assert.equal(seen.size, 599);
      assert.equal(opens, opensTaken);
    });

  it('is not what it is where everything is refused for a while', async () => {
    const server = await scripted(3, () => '!NO [UNAVAILABLE] try again later');
    const mailbox = await opened(provider(), plainMailbox(server.port, 'kim', 'secret'));
    await assert.rejects(mailbox.next(null), brokenBy('unreachable'));
    const other = await scripted(3, () => '!NO nothing to be had');
    const second = await opened(provider(), plainMailbox(other.port, 'kim', 'secret'));
    await assert.rejects(second.next(null), brokenBy('unreachable'));
  });
});

function brokenBy(kind: WatchProblem['kind']): (error: unknown) => boolean {
  return (error) => error instanceof WatchBroken && error.problem.kind === kind;
}

describe('a server that misbehaves', () => {
  const open = async (answer: (said: Said) => string | null, capabilities?: string): Promise<WatchedMailbox> => {
    const server = await startScriptedImap(answer, capabilities);
    ends.push(() => server.close());
    return await opened(provider(), plainMailbox(server.port, 'kim', 'secret'));
  };

  it('is polled where it refuses IDLE, or ends it at once', async () => {
    for (const refusal of ['!BAD what?', '!NO [LIMIT] not now', '']) {
      let idles = 0;
      const mailbox = await open(({ line }) => {
        if (line !== 'IDLE') return null;
        idles += 1;
        return refusal;
      }, 'NAMESPACE IDLE');
      let { cursor } = await catchUp(mailbox, null);
      for (let looks = 0; looks < 3; looks++) {
        await mailbox.wait(AbortSignal.timeout(5000));
        ({ cursor } = await catchUp(mailbox, cursor));
      }
      assert.equal(idles, 1);
    }
  });

  it('does not keep the mailbox busy by saying the same number of mails again', async () => {
    const mailbox = await open(({ line, socket, tag }) => {
      if (line !== 'IDLE') return tag === 'DONE' ? SILENCE : null;
      socket.write('+ idling\r\n* 0 EXISTS\r\n');
      return SILENCE;
    }, 'NAMESPACE IDLE');
    await catchUp(mailbox, null);
    const began = Date.now();
    await mailbox.wait(AbortSignal.timeout(5000));
    assert.ok(Date.now() - began >= 100);
  });

  it('is given up where it says good-bye, and where it throttles', async () => {
    const leaving = await open(({ line, socket }) => {
      if (!line.startsWith('STATUS')) return null;
      socket.write('* BYE Too many simultaneous connections.\r\n');
      return SILENCE;
    });
    await assert.rejects(leaving.next(null), brokenBy('throttled'));
    const slow = await open(({ line }) =>
      line.startsWith('UID SEARCH') || line.startsWith('EXAMINE') ? '!NO [LIMIT] slow down' : null,
    );
    await assert.rejects(slow.next(null), (error) => error instanceof WatchBroken);
  });

  it('is not taken to refuse the credentials where it only has no room', async () => {
    for (const [answer, kind] of [
      ['!NO [LIMIT] Too many connections', 'throttled'],
      ['!NO [INUSE] mailbox is locked', 'throttled'],
      ['!NO [UNAVAILABLE] User backend is away', 'unreachable'],
      ['!NO [ALERT] Too many simultaneous connections. (Failure)', 'throttled'],
      ['!NO [AUTHENTICATIONFAILED] Invalid credentials', 'unauthorised'],
    ] as const) {
      await assert.rejects(
        open(({ line }) => (/^(LOGIN|AUTHENTICATE)/.test(line) ? answer : null)),
        new RegExp(`^Error: ${kind}: `),
        answer,
      );
    }
  });
});
