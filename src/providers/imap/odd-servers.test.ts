// Servers that lie, forget to tell, answer oddly, or say more than anybody asked for: no reply may be lost by it.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { type Said, SILENCE, startScriptedImap } from '../../../test/support/scripted-imap.ts';
import { catchUp, hastyProvider, nextCome, opened, plainMailbox } from '../../../test/support/watching.ts';
import { WatchBroken, type WatchedMailbox, type WatchOrder } from '../watch.ts';
import type { Tempo } from './tempo.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface OddFolder {
  validity: number;
  uids: number[];
  /** Its name as it is listed. */
  listed?: string;
  /** UIDNEXT, where that is said otherwise. */
  uidNext?: number;
  /** Comes while the folder is opened. */
  coming?: number;
}

type Folders = Record<string, OddFolder>;

interface OddServer {
  readonly heard: readonly string[];
  open(order?: Partial<WatchOrder>, password?: string): Promise<WatchedMailbox>;
}

/** A server with these folders, whose mails are numbered alone; `answer` comes before what it would say. */
async function oddServer(
  folders: Folders,
  answer: (said: Said) => string | null = () => null,
  { capabilities = 'NAMESPACE SPECIAL-USE', tempo = {} }: { capabilities?: string; tempo?: Partial<Tempo> } = {},
): Promise<OddServer> {
  const selected = new WeakMap<object, OddFolder>();
  const named = (text: string): OddFolder | undefined =>
    Object.entries(folders).find(([path, { listed = path }]) => new RegExp(`^"?${path}|${listed}"?$`).test(text))?.[1];
  const next = ({ uids, uidNext = Math.max(0, ...uids) + 1 }: OddFolder): number => uidNext;
  const server = await startScriptedImap((said) => {
    const own = answer(said);
    if (own !== null) return own;
    const { line, socket } = said;
    if (line.startsWith('LIST')) {
      return Object.entries(folders)
        .map(([path, { listed = path }]) => `* LIST () "/" "${listed}"\r\n`)
        .join('');
    }
    const [, command = '', name = ''] = /^(STATUS|EXAMINE) ("[^"]*"|\S+)/.exec(line) ?? [];
    const folder = named(name);
    if (command !== '' && folder === undefined) return '!NO [NONEXISTENT] no such folder';
    if (folder !== undefined && command === 'STATUS') {
      return `* STATUS ${name} (UIDNEXT ${next(folder)} UIDVALIDITY ${folder.validity})\r\n`;
    }
    if (folder !== undefined) {
      selected.set(socket, folder);
      const codes = `* OK [UIDVALIDITY ${folder.validity}] valid\r\n* OK [UIDNEXT ${next(folder)}] next\r\n`;
      const said = `* ${folder.uids.length} EXISTS\r\n${codes}`;
      if (folder.coming === undefined) return said;
      folder.uids.push(folder.coming);
      delete folder.coming;
      return `${said}* ${folder.uids.length} EXISTS\r\n`;
    }
    if (line === 'NOOP') return `* ${selected.get(socket)?.uids.length ?? 0} EXISTS\r\n`;
    const { uids = [] } = selected.get(socket) ?? {};
    const [, from = ''] = /^UID SEARCH (?:UID (\d+):\*|SINCE)/.exec(line) ?? [];
    if (line.startsWith('UID SEARCH')) return `* SEARCH ${uids.filter((uid) => uid >= Number(from)).join(' ')}\r\n`;
    if (!line.startsWith('UID FETCH')) return null;
    const wanted = uidsIn(line).filter((uid) => uids.includes(uid));
    return wanted.map((uid) => (line.includes('HEADER.FIELDS') ? head(uid) : `* 1 FETCH (UID ${uid})\r\n`)).join('');
  }, capabilities);
  const made = hastyProvider(null, tempo);
  ends.push(async () => {
    await made.close();
    await server.close();
  });
  return {
    heard: server.heard,
    open: (order, password = 'secret') => opened(made, plainMailbox(server.port, 'kim', password), order),
  };
}

function uidsIn(line: string): number[] {
  const [, set = ''] = /^UID FETCH (\S+)/.exec(line) ?? [];
  return set.split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split(':').map(Number);
    return Array.from({ length: Math.min(5000, last - first + 1) }, (_, at) => first + at);
  });
}

function head(uid: number, more = '<0>'): string {
  const block = `Message-ID: <${uid}@example.org>\r\n\r\n`;
  return `* 1 FETCH (UID ${uid} INTERNALDATE "01-Nov-2026 10:00:00 +0000" RFC822.SIZE 10 BODY[HEADER.FIELDS (DATE)]${more} {${block.length}}\r\n${block})\r\n`;
}

function uidsOf(mails: readonly { readonly head: { readonly messageId: string | null } }[]): number[] {
  return mails.map(({ head: { messageId } }) => Number(/^<(\d+)@/.exec(messageId ?? '')?.[1] ?? Number.NaN));
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

describe('a server that gives heads in its own way', () => {
  it('is asked for whole fields where it understands no parts of them', async () => {
    const refused: string[] = [];
    const server = await oddServer({ INBOX: { validity: 1, uids: upTo(30) } }, ({ line }) => {
      if (!/HEADER\.FIELDS \(.*\)\]<0/.test(line)) return null;
      refused.push(line);
      return '!BAD Error in IMAP command UID FETCH: syntax error';
    });
    const mailbox = await server.open();
    const { mails, cursor, pages } = await catchUp(mailbox, null);
    assert.deepEqual(uidsOf(mails), upTo(30));
    assert.deepEqual(
      pages.flatMap(({ skipped = [] }) => skipped),
      [],
    );
    assert.equal(refused.length, 1);
    await mailbox.close();
    assert.deepEqual((await catchUp(await server.open(), cursor)).mails, []);
  });

  it('gives no mail where it tells of its flags alone, or of no head', async () => {
    for (const odd of [
      '* 1 FETCH (UID 2 FLAGS (\\Seen))\r\n',
      '* 1 FETCH (UID 2 BODY[HEADER.FIELDS (DATE)]<0> NIL)\r\n',
    ]) {
      const server = await oddServer({ INBOX: { validity: 1, uids: [1, 2, 3] } }, ({ line }) =>
        line.includes('HEADER.FIELDS')
          ? uidsIn(line)
              .map((uid) => (uid === 2 ? odd : head(uid)))
              .join('')
          : null,
      );
      const { mails, pages } = await catchUp(await server.open(), null);
      assert.deepEqual(uidsOf(mails), [1, 3]);
      assert.deepEqual(
        pages.flatMap(({ skipped = [] }) => skipped),
        ['["INBOX","1",2]'],
      );
    }
  });

  it('may tell of flags besides, with the head before or after', async () => {
    const flags = (uid: number): string => `* 1 FETCH (UID ${uid} FLAGS (\\Seen))\r\n`;
    const server = await oddServer({ INBOX: { validity: 1, uids: [1, 2] } }, ({ line }) =>
      line.includes('HEADER.FIELDS') ? `${flags(1)}${head(1)}${head(2)}${flags(2)}* 9 FETCH (FLAGS ())\r\n` : null,
    );
    assert.deepEqual(uidsOf((await catchUp(await server.open(), null)).mails), [1, 2]);
  });
});

describe('a folder that is not as it should be', () => {
  for (const [how, command] of [
    ['cannot be opened', 'EXAMINE'],
    ['cannot be searched', 'UID SEARCH'],
    ['cannot be read', 'UID FETCH'],
  ] as const)
    it(`does not keep the others waiting where it ${how} for now`, async () => {
      let isBroken = true;
      let at = '';
      const folders = { INBOX: { validity: 1, uids: [1] }, Sent: { validity: 1, uids: [7] } };
      const server = await oddServer(folders, ({ line }) => {
        at = /^EXAMINE "?(\w+)/.exec(line)?.[1] ?? at;
        return isBroken && at === 'Sent' && line.startsWith(command) ? '!NO [UNAVAILABLE] Storage is away' : null;
      });
      const mailbox = await server.open();
      const first = await catchUp(mailbox, null);
      assert.deepEqual(uidsOf(first.mails), [1]);
      folders.INBOX.uids.push(2);
      const second = await nextCome(mailbox, first.cursor);
      assert.deepEqual(uidsOf(second.mails), [2]);
      isBroken = false;
      assert.deepEqual(uidsOf((await nextCome(mailbox, second.cursor)).mails), [7]);
    });

  it('is looked into where the server does not say how it stands', async () => {
    for (const [capabilities, said] of [
      ['NAMESPACE SPECIAL-USE', '!NO [CANNOT] not of this one'],
      ['NAMESPACE SPECIAL-USE LIST-STATUS', ''],
    ] as const) {
      const folders: Folders = {};
      for (const path of ['INBOX', 'Sent', 'One', 'Two', 'Three', 'Four']) folders[path] = { validity: 1, uids: [] };
      const server = await oddServer(
        folders,
        ({ line }) => (/^STATUS "?Three|^LIST .*STATUS/.test(line) ? (line.startsWith('LIST') ? '' : said) : null),
        { capabilities },
      );
      const mailbox = await server.open({ folders: ['*'] });
      const { cursor } = await catchUp(mailbox, null);
      folders.Three?.uids.push(5);
      assert.deepEqual(uidsOf((await nextCome(mailbox, cursor)).mails), [5]);
    }
  });

  it('is read from the oldest open message on where its numbers change before it was read to its end', async () => {
    const folders = { INBOX: { validity: 1, uids: upTo(2500) } };
    const searches: string[] = [];
    const server = await oddServer(folders, ({ line }) => {
      if (line.startsWith('UID SEARCH')) searches.push(line);
      return null;
    });
    const since = new Date(Date.now() - 30 * 86_400_000);
    const mailbox = await server.open({ since });
    const page = await mailbox.next(null);
    assert.ok(page.mails.length > 0 && !page.isLast);
    await mailbox.close();
    folders.INBOX.validity = 2;
    const { mails } = await catchUp(await server.open({ since }), page.cursor);
    assert.equal(mails.length, 2500);
    assert.equal(searches.at(-1), searches[0]);
  });

  it('is left out where its name can be kept nowhere', async () => {
    const server = await oddServer({
      INBOX: { validity: 1, uids: [1], listed: 'Inbox' },
      Nul: { validity: 1, uids: [2], listed: 'a&AAA-' },
      Half: { validity: 1, uids: [3], listed: '&2AA-' },
      Fine: { validity: 1, uids: [4], listed: 'Entw&APw-rfe 2' },
    });
    const { mails, cursor } = await catchUp(await server.open({ folders: ['*'] }), null);
    assert.deepEqual(uidsOf(mails), [1, 4]);
    assert.deepEqual(
      mails.map(({ folder }) => folder),
      ['INBOX', 'Entwürfe 2'],
    );
    const kept = JSON.stringify(cursor);
    assert.ok(!kept.includes('\\u'), kept);
  });

  it('is read where it is the inbox, and the server does not list it', async () => {
    for (const listed of ['', '* LIST () "/" "Sent"\r\n']) {
      const server = await oddServer(
        { INBOX: { validity: 1, uids: [1] }, Sent: { validity: 1, uids: [] } },
        ({ line }) => (line.startsWith('LIST') ? listed : null),
      );
      assert.deepEqual(uidsOf((await catchUp(await server.open(), null)).mails), [1]);
    }
  });

  it('does not keep how far others were read from being kept', async () => {
    const folders: Folders = {};
    for (let at = 0; at < 40; at++) folders[at === 0 ? 'INBOX' : `Folder ${at}-`] = { validity: 1, uids: [] };
    const server = await oddServer(folders, () => null, { tempo: { turnMs: 0 } });
    const { pages } = await catchUp(await server.open({ folders: ['*'] }), null);
    const read = pages.map(({ cursor: { folders: each } }) => (Array.isArray(each) ? each.length : 0));
    assert.ok(pages.length > 10, `${pages.length} pages`);
    assert.deepEqual(
      read,
      [...read].sort((one, other) => one - other),
    );
    assert.equal(read.at(-1), 40);
  });
});

describe('news', () => {
  it('are heard between commands', async () => {
    const folders = { INBOX: { validity: 1, uids: [] as number[] } };
    let tell = (): void => {};
    const server = await oddServer(
      folders,
      ({ socket }) => {
        tell = () => void socket.write('* 1 EXISTS\r\n');
        return null;
      },
      { tempo: { pollMs: 60_000, mutePollMs: 60_000 } },
    );
    const mailbox = await server.open();
    const { cursor } = await catchUp(mailbox, null);
    await mailbox.wait(AbortSignal.timeout(100)); // opens the folder
    folders.INBOX.uids.push(1);
    tell();
    assert.deepEqual(uidsOf((await nextCome(mailbox, cursor)).mails), [1]);
  });

  it('are found where the server forgets to tell of them', async () => {
    const folders = { INBOX: { validity: 1, uids: [] as number[] } };
    const server = await oddServer(folders, ({ line }) => (line === 'NOOP' ? '' : null), { tempo: { sureMs: 200 } });
    const mailbox = await server.open();
    const { cursor } = await catchUp(mailbox, null);
    await mailbox.wait(AbortSignal.timeout(50));
    folders.INBOX.uids.push(1);
    assert.deepEqual(uidsOf((await nextCome(mailbox, cursor)).mails), [1]);
  });

  it('are found where they come while the folder is opened', async () => {
    const folders: Record<string, OddFolder> = { INBOX: { validity: 1, uids: [1] }, Sent: { validity: 1, uids: [] } };
    const server = await oddServer(folders, () => null, { tempo: { pollMs: 60_000, mutePollMs: 60_000 } });
    const mailbox = await server.open();
    const { cursor } = await catchUp(mailbox, null);
    Object.assign(folders.INBOX ?? {}, { coming: 2 }); // it is opened again, as the other one was looked into last
    assert.deepEqual(uidsOf((await nextCome(mailbox, cursor)).mails), [2]);
  });

  it('without an end that are none do not keep the caller waiting', async () => {
    let count = 0;
    const server = await oddServer({ INBOX: { validity: 1, uids: [] } }, ({ line }) => {
      count += 1;
      return line.startsWith('UID SEARCH') ? `* ${count} EXISTS\r\n* SEARCH\r\n` : null;
    });
    const mailbox = await server.open();
    const page = await mailbox.next(null);
    assert.ok(page.isLast);
    assert.ok(server.heard.filter((line) => line.includes('SEARCH')).length < 4);
  });
});

describe('a server that goes too far', () => {
  const breaks = async (kind: string, answer: (said: Said) => string | null): Promise<WatchBroken> => {
    const mailbox = await (await oddServer({ INBOX: { validity: 1, uids: [1] } }, answer)).open();
    try {
      await catchUp(mailbox, null);
    } catch (error) {
      assert.ok(error instanceof WatchBroken, String(error));
      assert.equal(error.problem.kind, kind);
      return error;
    }
    return assert.fail('it did not break');
  };

  it('is left where it lists folders without an end', async () => {
    const lines = Array.from({ length: 2000 }, (_, at) => `* LIST () "/" "${at} ${'x'.repeat(400)}"\r\n`).join('');
    let sent = 0;
    await breaks('unreachable', ({ line, socket }) => {
      if (!line.startsWith('LIST')) return null;
      const more = (): void => {
        if (socket.destroyed) return;
        sent += lines.length;
        socket.write(lines, more);
      };
      more();
      return SILENCE;
    });
    assert.ok(sent > 16_000_000 && sent < 200_000_000, `${sent}`);
  });

  it('is left alone for a while where it holds commands back', async () => {
    const { problem } = await breaks('throttled', ({ line }) =>
      line.startsWith('EXAMINE') ? '!BAD Request is throttled. Suggested Backoff Time: 60000 milliseconds' : null,
    );
    assert.ok((problem.retryAfterSeconds ?? 0) >= 60);
  });

  it('is quoted without what it was told to log in with', async () => {
    for (const said of ['!BAD cannot for kim with correct-horse', '* BYE go away, correct-horse\r\n']) {
      const server = await oddServer({ INBOX: { validity: 1, uids: [1] } }, ({ line }) =>
        line.startsWith('EXAMINE') || line.startsWith('UID') ? said : null,
      );
      const mailbox = await server.open({}, 'correct-horse');
      await assert.rejects(
        catchUp(mailbox, null),
        (error) =>
          error instanceof WatchBroken && /cannot for|go away/.test(error.message) && !/horse/.test(error.message),
      );
    }
  });

  it('does not lead the cursor to numbers that cannot be', async () => {
    const folders = { INBOX: { validity: 1, uids: [1], uidNext: 9_999_999_999 } };
    let lie = '* SEARCH 1 4294967296 9999999999 -5 99999999999999999999\r\n';
    const server = await oddServer(folders, ({ line }) => (line.startsWith('UID SEARCH') && lie !== '' ? lie : null));
    const mailbox = await server.open();
    const first = await catchUp(mailbox, null);
    assert.deepEqual(uidsOf(first.mails), [1]);
    await mailbox.close();
    lie = '';
    folders.INBOX.uids.push(2);
    assert.deepEqual(uidsOf((await catchUp(await server.open(), first.cursor)).mails), [2]);
  });

  it('is not taken to refuse the credentials where it does not understand the login', async () => {
    for (const [answer, kind] of [
      ['!BAD Command unrecognized', 'unreachable'],
      ['!BAD [AUTHENTICATIONFAILED] no', 'unauthorised'],
    ] as const) {
      const server = await oddServer({}, ({ line }) => (/^(LOGIN|AUTHENTICATE)/.test(line) ? answer : null));
      await assert.rejects(server.open(), new RegExp(`^Error: ${kind}: `));
    }
  });
});
