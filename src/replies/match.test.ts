import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { testDatabase } from '../../test/support/postgres.ts';
import { addOwner, type Owner, prepareLedger } from '../../test/support/recording.ts';
import { seededRandom } from '../../test/support/rewriting.ts';
import { type Connection, connect, type Sql } from '../db/pool.ts';
import { uuidv7 } from '../ids.ts';
import { parseKeyring } from '../keyring.ts';
import type { FoundMail, MailHead } from '../providers/watch.ts';
import { linkUrl, pixelUrl, tokenKeys } from '../tracking/token.ts';
import { markOf } from './mark.ts';
import {
  type Match,
  matchByHeaders,
  matchByMessageId,
  matchByThreadKeys,
  matchByToken,
  matchWithin,
  ownMessages,
  quotesLikely,
} from './match.ts';

let sql: Sql;
let connection: Connection;
let drop: () => Promise<void>;
let owner: Owner;
let mailbox: { app: number; grantId: string; grantSerial: number };

const keys = tokenKeys(parseKeyring('3:a younger secret - as good,1:correct horse battery staple'));

before(async () => {
  ({ sql, connection, drop } = await testDatabase(prepareLedger));
});
after(() => drop());
beforeEach(async () => {
  owner = await addOwner(sql);
  mailbox = await mailboxOf(owner.grant);
});

async function mailboxOf(grant: number): Promise<typeof mailbox> {
  const [row] = await sql<{ app: number; id: string }[]>`select app, id from grants where serial = ${grant}`;
  assert.ok(row);
  return { app: row.app, grantId: row.id, grantSerial: grant };
}

interface Given {
  readonly app: number;
  readonly grantId: string;
  readonly messageId: string;
  readonly threadId: string;
  readonly ancestors: readonly string[];
  readonly tracked: boolean;
  readonly state: string;
  readonly at: Date;
  readonly threadKey: string;
}

let clock = Date.now() - 3_600_000;

/** A message of ours; each is a minute younger than the one before. */
async function message(given: Partial<Given> = {}): Promise<{ id: string; messageId: string }> {
  clock += 60_000;
  const at = given.at ?? new Date(clock);
  const id = uuidv7(at.getTime());
  const messageId = given.messageId ?? `<${id}@shop.test>`;
  await sql`
    insert into messages (app, id, grant_id, state, opens, links, thread_replies, message_id, thread_id, ancestors,
      provider_thread_id, created_at, state_at)
    values (${given.app ?? mailbox.app}, ${id}, ${given.grantId ?? mailbox.grantId}, ${given.state ?? 'sent'}, true, true,
      ${given.tracked ?? true}, ${messageId}, ${given.threadId ?? `thread ${id}`}, ${[...(given.ancestors ?? [])]}::text[],
      ${given.threadKey ?? null}, ${at.toISOString()}, ${at.toISOString()})`;
  return { id, messageId };
}

let count = 0;

interface Written extends Partial<Pick<FoundMail, 'receivedAt' | 'threadKey' | 'isSent'>> {
  readonly id?: string | null;
  readonly inReplyTo?: readonly string[];
  readonly references?: readonly string[];
  readonly subject?: string;
}

function mail(written: Written = {}): FoundMail {
  count++;
  const head: MailHead = {
    messageId: written.id === undefined ? `<mail-${count}@customer.test>` : written.id,
    inReplyTo: written.inReplyTo ?? [],
    references: written.references ?? [],
    subject: written.subject ?? 'Re: Offer',
    from: [{ name: '', email: 'kim@customer.test' }],
    sender: [],
    to: [],
    cc: [],
    bcc: [],
    replyTo: [],
    writtenAt: null,
    fields: [],
  };
  return {
    place: `INBOX ${count}`,
    folder: 'INBOX',
    isSent: written.isSent ?? false,
    isNew: true,
    receivedAt: written.receivedAt ?? new Date(),
    size: 1000,
    threadKey: written.threadKey ?? null,
    head,
  };
}

const idOf = ({ head }: FoundMail): string => head.messageId ?? '';

/** As a page before this one left it. */
async function keep(found: FoundMail, rootId: string | null): Promise<string> {
  const id = uuidv7();
  await sql`
    insert into received_messages (app, grant_id, mark, id, thread_id, message_id, root_id, class, place, received_at)
    values (${mailbox.app}, ${mailbox.grantId}, ${markOf(found)}, ${id}, 'thr_x', ${idOf(found)}, ${rootId},
      ${rootId === null ? 'unrelated' : 'reply'}, ${found.place}, now())`;
  return id;
}

async function match(...mails: readonly FoundMail[]): Promise<(Match | null)[]> {
  return await matchByHeaders(sql, mailbox, mails);
}

const told = (found: Match | null | undefined): unknown =>
  found ? { root: found.root.id, by: found.by, parent: found.parent?.id ?? null } : null;

test('a reply is found by In-Reply-To, and by References alone', async () => {
  const sent = await message();
  const other = await message();
  const found = await match(
    mail({ inReplyTo: [sent.messageId] }),
    mail({ references: ['<older@elsewhere.test>', other.messageId] }),
    mail({ inReplyTo: ['<unknown@elsewhere.test>'], references: [other.messageId, '<lost@elsewhere.test>'] }),
    mail({ inReplyTo: ['<unknown@elsewhere.test>'] }),
    mail({ id: null }),
  );
  assert.deepEqual(found.map(told), [
    { root: sent.id, by: 'in_reply_to', parent: sent.id },
    { root: other.id, by: 'references', parent: other.id },
    { root: other.id, by: 'references', parent: null },
    null,
    null,
  ]);
});

test('of two tracked messages in one thread the nearest counts', async () => {
  const first = await message();
  const reply = mail({ inReplyTo: [first.messageId] });
  const second = await message({ ancestors: [first.messageId, idOf(reply)] });
  const chain = [first.messageId, idOf(reply), second.messageId];
  const found = await match(
    mail({ inReplyTo: [second.messageId], references: chain }),
    mail({ references: [...chain, '<colleague@customer.test>'], inReplyTo: ['<colleague@customer.test>'] }),
    mail({ inReplyTo: [first.messageId], references: chain }),
  );
  assert.deepEqual(
    found.map((each) => each?.root.id),
    [second.id, second.id, first.id],
  );
});

test('a reply to a reply counts for the tracked message, however many lie between and whatever References lack', async () => {
  const sent = await message();
  const replies = [mail({ inReplyTo: [sent.messageId] })];
  for (let more = 0; more < 5; more++) replies.push(mail({ inReplyTo: [idOf(replies.at(-1) ?? mail())] }));
  const kept: string[] = [];
  for (const [at, reply] of replies.entries()) {
    const [found] = await match(reply);
    assert.deepEqual(told(found), { root: sent.id, by: 'in_reply_to', parent: at === 0 ? sent.id : kept[at - 1] });
    kept.push(await keep(reply, found?.root.id ?? null));
  }
});

test("the sender's untracked follow-up leads on to the tracked message above it", async () => {
  const sent = await message();
  const reply = mail({ inReplyTo: [sent.messageId] });
  await keep(reply, sent.id);
  // Its own References name the reply alone, which nobody but the mailbox knows.
  const followUp = await message({ tracked: false, ancestors: [idOf(reply)] });
  const third = await message({ tracked: false, ancestors: [followUp.messageId] });
  assert.deepEqual(
    (await match(mail({ inReplyTo: [followUp.messageId] }), mail({ inReplyTo: [third.messageId] }))).map(told),
    [
      { root: sent.id, by: 'in_reply_to', parent: followUp.id },
      { root: sent.id, by: 'in_reply_to', parent: third.id },
    ],
  );
});

test('a follow-up whose References were cut belongs to what was tracked before it in its thread', async () => {
  const first = await message({ threadId: 'thr_1' });
  const nearest = await message({ threadId: 'thr_1' });
  const followUp = await message({ threadId: 'thr_1', tracked: false, ancestors: ['<lost@elsewhere.test>'] });
  await message({ threadId: 'thr_1' });
  const alone = await message({ tracked: false });
  assert.deepEqual((await match(mail({ inReplyTo: [followUp.messageId] }))).map(told), [
    { root: nearest.id, by: 'in_reply_to', parent: followUp.id },
  ]);
  const [past] = await match(mail({ inReplyTo: [alone.messageId], references: [first.messageId, alone.messageId] }));
  assert.equal(past?.root.id, first.id, 'what leads nowhere is passed over');
});

test('mails of one page answer one another in whatever order they stand', async () => {
  const sent = await message();
  const r1 = mail({ inReplyTo: [sent.messageId] });
  const r2 = mail({ inReplyTo: [idOf(r1)] });
  const followUp = await message({ tracked: false, ancestors: [idOf(r2)] });
  const r3 = mail({ inReplyTo: [followUp.messageId] });
  const r4 = mail({ references: [idOf(r3)] });
  const random = seededRandom(7);
  for (let round = 0; round < 10; round++) {
    const page = [r1, r2, r3, r4, mail()]
      .map((each) => ({ each, key: random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ each }) => each);
    const found = await match(...page);
    for (const [at, each] of page.entries()) {
      const isOurs = [r1, r2, r3, r4].includes(each);
      assert.equal(found[at]?.root.id, isOurs ? sent.id : undefined);
    }
    const of = (each: FoundMail): Match | null | undefined => found[page.indexOf(each)];
    assert.equal(of(r2)?.parent, null);
    assert.equal(of(r2)?.parentMail, r1);
    assert.equal(of(r3)?.parent?.id, followUp.id);
    assert.equal(of(r4)?.parentMail, r3);
  }
});

test('a page that answers in a circle ends, and leads out of it where it can', async () => {
  const sent = await message();
  const [a, b, c] = ['<a@forged.test>', '<b@forged.test>', '<c@forged.test>'];
  const page = [
    mail({ id: a, inReplyTo: [b], references: [sent.messageId] }),
    mail({ id: b, inReplyTo: [c] }),
    mail({ id: c, inReplyTo: [a] }),
    mail({ id: '<d@forged.test>', inReplyTo: ['<d@forged.test>'] }),
    mail({ id: '<e@forged.test>', inReplyTo: ['<f@forged.test>'] }),
    mail({ id: '<f@forged.test>', inReplyTo: ['<e@forged.test>'] }),
  ];
  for (const order of [page, page.toReversed()]) {
    const found = await match(...order);
    const roots = page.map((each) => found[order.indexOf(each)]?.root.id ?? null);
    assert.deepEqual(roots, [sent.id, sent.id, sent.id, null, null, null]);
  }
});

interface Node {
  readonly kind: 'tracked' | 'untracked' | 'kept' | 'found';
  readonly parent: Node | null;
  /** What it was sent with: the whole way up, or its parent alone. */
  readonly references: readonly string[];
  readonly header: string;
  readonly id: string;
  readonly mail: FoundMail | null;
}

const nearestOf = (node: Node | null): string | null =>
  node === null || node.kind === 'tracked' ? (node?.id ?? null) : nearestOf(node.parent);

test('in conversations of any shape the nearest tracked message counts', async () => {
  const random = seededRandom(11);
  const pick = <T>(...of: readonly T[]): T => of[Math.floor(random() * of.length)] ?? assert.fail();
  for (let conversation = 0; conversation < 20; conversation++) {
    const nodes: Node[] = [];
    for (let at = 0; at < 15; at++) {
      const kind = at === 0 ? pick('tracked', 'untracked') : pick('tracked', 'untracked', 'kept', 'found', 'found');
      const parent = at === 0 ? null : pick(...nodes.slice(-4));
      const above = parent === null ? [] : [parent.header];
      const references = parent === null ? [] : [...pick(parent.references, []), parent.header];
      if (kind === 'tracked' || kind === 'untracked') {
        // As sending does it: what is no message of ours is all that it knows of the thread.
        const ancestors = parent?.mail ? above : [...(parent?.references ?? []), ...above];
        const sent = await message({ tracked: kind === 'tracked', ancestors });
        nodes.push({ kind, parent, references: ancestors, header: sent.messageId, id: sent.id, mail: null });
      } else {
        const written = pick<Written>({ inReplyTo: above, references }, { inReplyTo: above }, { references });
        const found = mail(written);
        const id = kind === 'kept' ? await keep(found, nearestOf(parent)) : '';
        nodes.push({ kind, parent, references, header: idOf(found), id, mail: found });
      }
    }
    const page = nodes
      .flatMap((node) => (node.mail === null ? [] : [{ node, mail: node.mail, key: random() }]))
      .sort((a, b) => a.key - b.key);
    const found = await match(...page.map((each) => each.mail));
    for (const [at, { node }] of page.entries()) {
      assert.equal(found[at]?.root.id ?? null, nearestOf(node.parent), `conversation ${conversation}, ${node.header}`);
      if (found[at] && node.parent) {
        assert.equal(found[at].parent?.id ?? '', node.parent.kind === 'found' ? '' : node.parent.id);
        assert.equal(found[at].parentMail, node.parent.kind === 'found' ? node.parent.mail : null);
      }
    }
  }
});

test('copies of a reply have its match', async () => {
  const sent = await message();
  const reply = mail({ inReplyTo: [sent.messageId] });
  const copy = { ...reply, place: 'Archive 1', folder: 'Archive' };
  const answer = mail({ inReplyTo: [idOf(reply)] });
  const found = await match(reply, copy, answer);
  assert.deepEqual(
    found.map((each) => each?.root.id),
    [sent.id, sent.id, sent.id],
  );
});

test('messages of another grant or application are never found, by whatever they are named', async () => {
  const neighbour = await mailboxOf((await addGrant(mailbox.app)).grant);
  const stranger = await mailboxOf((await addOwner(sql)).grant);
  for (const foreign of [neighbour, stranger]) {
    const sent = await message({
      app: foreign.app,
      grantId: foreign.grantId,
      threadId: 'thr_foreign',
      threadKey: 'key',
    });
    const forged = mail({ inReplyTo: [sent.messageId], references: [sent.messageId], threadKey: 'key' });
    const followUp = await message({ tracked: false, threadId: 'thr_foreign', ancestors: [sent.messageId] });
    const raw = quoting(pixelUrl(keys, ORIGIN, { app: foreign.app, grant: foreign.grantSerial, message: sent.id }));
    assert.deepEqual(await match(forged, mail({ inReplyTo: [followUp.messageId] })), [null, null]);
    assert.equal(await matchByToken({ sql, keys }, mailbox, raw), null);
    assert.deepEqual(await matchByThreadKeys(sql, mailbox, [forged]), [null]);
    assert.equal(await matchByMessageId(sql, mailbox, sent.messageId), null);
    assert.equal((await ownMessages(sql, mailbox, [mail({ id: sent.messageId })])).size, 0);
    assert.equal((await matchByHeaders(sql, foreign, [forged]))[0]?.root.id, sent.id, 'its own grant finds it');
    assert.equal((await matchByToken({ sql, keys }, foreign, raw))?.root.id, sent.id);
  }
});

async function addGrant(app: number): Promise<Owner> {
  const [row] = await sql<Owner[]>`
    insert into grants (app, id, provider, email) values (${app}, ${uuidv7()}, 'practice', ${`${uuidv7()}@shop.test`})
    returning app, serial as grant`;
  assert.ok(row);
  return row;
}

test('a mail that was not matched before does not stand between', async () => {
  const sent = await message();
  const unrelated = mail({ inReplyTo: [sent.messageId] });
  const id = await keep(unrelated, null); // told of as message.created before the page was recorded
  const [alone, again] = await match(mail({ inReplyTo: [idOf(unrelated)] }), mail({ inReplyTo: [sent.messageId] }));
  assert.deepEqual([told(alone), again?.root.id], [null, sent.id]);
  const [, answer] = await match(unrelated, mail({ inReplyTo: [idOf(unrelated)] }));
  assert.deepEqual(told(answer), { root: sent.id, by: 'in_reply_to', parent: id });
});

test('states: what may have gone out can be answered', async () => {
  for (const state of ['sending', 'sent', 'unknown', 'failed', 'reserved', 'scheduled', 'cancelled']) {
    const sent = await message({ state });
    const [found] = await match(mail({ inReplyTo: [sent.messageId] }));
    assert.equal(found?.root.id, ['scheduled', 'cancelled'].includes(state) ? undefined : sent.id, state);
  }
});

test('ids are recognised as mail programs and gateways spell them', async () => {
  const sent = await message();
  const exchange = await message({ messageId: '<AS8PR01MB7654@AS8PR01MB7654.EURPRD01.prod.outlook.com>' });
  const spellings = [
    sent.messageId.toUpperCase(),
    sent.messageId.slice(1, -1),
    `${sent.messageId.slice(0, 20)}\r\n ${sent.messageId.slice(20)}`,
    ` ${sent.messageId}\t`,
    `<${sent.messageId}>`,
    sent.messageId.replace('@shop.test', '@Shop.Test'),
  ];
  for (const spelling of spellings) {
    const [found] = await match(mail({ inReplyTo: [spelling, spelling] }));
    assert.equal(found?.root.id, sent.id, spelling);
    assert.equal((await ownMessages(sql, mailbox, [mail({ id: spelling })])).size, 1, spelling);
  }
  const [asSent, otherLocal] = await match(
    mail({ inReplyTo: [exchange.messageId] }),
    mail({ inReplyTo: [exchange.messageId.replace('AS8PR01MB7654@', 'as8pr01mb7654@')] }),
  );
  assert.deepEqual([asSent?.root.id, otherLocal], [exchange.id, null]);

  const reply = mail({ id: '<Case.Of@Mail.Customer.TEST>', inReplyTo: [sent.messageId] });
  await keep(reply, sent.id);
  const [lower, local] = await match(
    mail({ inReplyTo: ['<Case.Of@mail.customer.test>'] }),
    mail({ inReplyTo: ['<case.of@mail.customer.test>'] }),
  );
  assert.deepEqual([lower?.root.id, local], [sent.id, null]);
});

test('hostile ids fail no statement', async () => {
  const sent = await message();
  const strange = [
    '<a\0b@c>',
    '<\ud800@half.test>',
    '<"quoted\\" \'); drop table messages; --"@x>',
    '<{a,b}@x>',
    '<NULL>',
    '<>',
    '',
    '<<<>>>',
    `<${'x'.repeat(100_000)}@long.test>`,
    `<${'ü'.repeat(990)}@x>`,
    `<${'<'.repeat(900)}@x>`,
  ];
  const many = Array.from({ length: 10_000 }, (_, at) => `<${at}${'y'.repeat(900)}@flood.test>`);
  const found = await match(
    mail({ id: '<a\0b@c>', inReplyTo: strange, references: [sent.messageId, ...strange] }),
    mail({ references: [sent.messageId, ...many] }),
    mail({ inReplyTo: many, references: [...many, sent.messageId] }),
    ...Array.from({ length: 50 }, () => mail({ inReplyTo: many, references: many })),
    ...strange.map((id) => mail({ id, threadKey: `k\0${id}` })),
  );
  assert.deepEqual(
    found.slice(0, 4).map((each) => each?.root.id),
    [sent.id, sent.id, sent.id, undefined],
  );
  const heads = strange.map((id) => mail({ id, threadKey: `k\0${id}` }));
  assert.equal((await ownMessages(sql, mailbox, heads)).size, 0);
  assert.deepEqual(new Set(await matchByThreadKeys(sql, mailbox, heads)), new Set([null]));
  for (const id of strange) assert.equal(await matchByMessageId(sql, mailbox, id), null);
});

test('a message of ours in the mailbox is known, and is a follow-up of what it answers', async () => {
  const sent = await message();
  const reply = mail({ inReplyTo: [sent.messageId] });
  await keep(reply, sent.id);
  const second = await message({ ancestors: [idOf(reply)] });
  const copies = [
    mail({ id: second.messageId, inReplyTo: [idOf(reply)], isSent: true }),
    mail({ id: sent.messageId, isSent: true, references: [sent.messageId] }),
    mail(),
  ];
  const own = await ownMessages(sql, mailbox, copies);
  assert.deepEqual(
    copies.map((each) => own.get(each)?.id),
    [second.id, sent.id, undefined],
  );
  assert.deepEqual(
    (await match(...copies)).map((each) => each?.root.id ?? null),
    [sent.id, null, null],
  );
});

test('a delivery report leads to the message it is about', async () => {
  const sent = await message();
  const followUp = await message({ tracked: false, ancestors: [sent.messageId] });
  assert.deepEqual(told(await matchByMessageId(sql, mailbox, sent.messageId)), {
    root: sent.id,
    by: 'original',
    parent: sent.id,
  });
  assert.deepEqual(told(await matchByMessageId(sql, mailbox, followUp.messageId)), {
    root: sent.id,
    by: 'original',
    parent: followUp.id,
  });
  assert.equal(await matchByMessageId(sql, mailbox, '<nothing@shop.test>'), null);
});

test("the provider's thread leads to its newest tracked message before the mail", async () => {
  const [first, second] = [
    await message({ threadKey: 't1', at: new Date(Date.now() - 3 * 3_600_000) }),
    await message({ threadKey: 't1', at: new Date(Date.now() - 2 * 3_600_000) }),
  ];
  await message({ threadKey: 't1', tracked: false });
  const ago = (hours: number): Date => new Date(Date.now() - hours * 3_600_000);
  const found = await matchByThreadKeys(sql, mailbox, [
    mail({ threadKey: 't1' }),
    mail({ threadKey: 't1', receivedAt: ago(2.5) }),
    mail({ threadKey: 't1', receivedAt: ago(9) }),
    mail({ threadKey: 't2' }),
    mail(),
  ]);
  assert.deepEqual(found.map(told), [
    { root: second.id, by: 'thread', parent: null },
    { root: first.id, by: 'thread', parent: null },
    null,
    null,
    null,
  ]);
});

const ORIGIN = 'https://t.shop.test';

function quoting(...urls: readonly string[]): Buffer {
  const html = urls.map((url) => `<blockquote><p>Hello</p><a href="${url}">x</a></blockquote>`).join('\r\n');
  return Buffer.from(`Message-ID: <r@x.test>\r\nContent-Type: text/html\r\n\r\n<p>Yes!</p>${html}`);
}

function tokenOf(id: string, link = true): string {
  const identity = { app: mailbox.app, grant: mailbox.grantSerial, message: id };
  return link
    ? linkUrl(keys, ORIGIN, { ...identity, link: 3 }, 'https://example.com/a')
    : pixelUrl(keys, ORIGIN, identity);
}

test('a quoted link or pixel of ours is a match; of several messages the newest, wherever it stands', async () => {
  const [old, young] = [await message(), await message()];
  const byToken = (...urls: string[]): Promise<Match | null> => matchByToken({ sql, keys }, mailbox, quoting(...urls));
  for (const [first, second] of [
    [tokenOf(old.id), tokenOf(young.id, false)],
    [tokenOf(young.id, false), tokenOf(old.id)],
  ]) {
    assert.deepEqual(told(await byToken(first ?? '', second ?? '')), { root: young.id, by: 'token', parent: young.id });
  }
  assert.equal((await byToken(tokenOf(old.id, false)))?.root.id, old.id);
  assert.equal(await byToken(tokenOf(uuidv7())), null, 'a message that is not there');
  const forged = tokenOf(old.id);
  assert.equal(await byToken(forged.slice(0, 60) + (forged[60] === 'A' ? 'B' : 'A') + forged.slice(61)), null);
});

test('a quoted message whose replies are not tracked leads on to one above it', async () => {
  const sent = await message();
  const followUp = await message({ tracked: false, ancestors: [sent.messageId] });
  const alone = await message({ tracked: false });
  const found = await matchByToken({ sql, keys }, mailbox, quoting(tokenOf(followUp.id), tokenOf(alone.id)));
  assert.deepEqual(told(found), { root: sent.id, by: 'token', parent: followUp.id });
  assert.equal(await matchByToken({ sql, keys }, mailbox, quoting(tokenOf(alone.id))), null);
});

test('deep in a thread of others it is not said what a quoting mail answers', async () => {
  const sent = await message();
  const raw = Buffer.concat([Buffer.from('References: <a@x.test> <b@x.test>\r\n'), quoting(tokenOf(sent.id))]);
  assert.deepEqual(told(await matchByToken({ sql, keys }, mailbox, raw)), { root: sent.id, by: 'token', parent: null });
});

test('what answers a mail that was matched by its text is found with it', async () => {
  const sent = await message();
  const quoted = mail({ inReplyTo: ['<rewritten@relay.test>'] });
  const answer = mail({ inReplyTo: [idOf(quoted)] });
  const page = [mail(), answer, quoted];
  const byText = await matchByToken({ sql, keys }, mailbox, quoting(tokenOf(sent.id)));
  assert.ok(byText);
  const found = matchWithin(page, new Map([[quoted, byText]]));
  assert.deepEqual(found.map(told), [null, { root: sent.id, by: 'in_reply_to', parent: null }, null]);
  assert.equal(found[1]?.parentMail, quoted);
});

test('an unmatched mail is opened for its subject, or because it answers what nobody knows', () => {
  const open = ['offer 2026', 'hi', 'übergabe', '見積もり'];
  const likely = (subject: string, more: Written = {}): unknown => quotesLikely(mail({ ...more, subject }), open);
  for (const subject of [
    'Re: Offer 2026',
    'AW: Re[2]: [EXTERNAL]  OFFER\r\n 2026',
    'Fwd: SV: offer 2026 (urgent)',
    'Antwort: Übergabe',
    '返信: 見積もりについて',
  ]) {
    assert.equal(likely(subject), 'subject', subject);
  }
  for (const subject of ['Hi', 'Re: hi', 'offer 20267', 'preoffer 2026', 'something else', '']) {
    assert.equal(likely(subject), null, subject);
    assert.equal(likely(subject, { references: ['<x@y>'] }), 'answers', subject);
  }
});

test('a mail keeps its mark in every folder; without a Message-ID others tell it apart', () => {
  const one = mail({ id: '<A@Customer.TEST>' });
  assert.deepEqual(markOf(one), markOf({ ...one, size: 7 }));
  assert.deepEqual(markOf(one), markOf(mail({ id: '<A@customer.test>' })));
  assert.notDeepEqual(markOf(one), markOf(mail({ id: '<a@customer.test>' })));
  const nameless = mail({ id: null });
  assert.deepEqual(markOf(nameless), markOf(mail({ id: null })));
  assert.notDeepEqual(markOf(nameless), markOf(mail({ id: null, subject: 'Another' })));
  assert.notDeepEqual(markOf(nameless), markOf({ ...nameless, size: 1001 }));
});

test('among 100,000 messages every question is answered by an index', async () => {
  const one = connect(connection, { max: 1 });
  try {
    await one`
      insert into messages (app, id, grant_id, state, opens, links, thread_replies, message_id, thread_id, subject)
      select ${mailbox.app}, gen_random_uuid(), ${mailbox.grantId}, 'sent', true, true, true,
        '<' || n || '@many.test>', 'thr_' || n, 'Subject ' || n from generate_series(1, 100000) as n`;
    await one`
      insert into received_messages (app, grant_id, mark, id, thread_id, message_id, class, place, received_at)
      select ${mailbox.app}, ${mailbox.grantId}, sha256(n::text::bytea), gen_random_uuid(), 'thr_' || n, '', 'other', '', now()
      from generate_series(1, 100000) as n`;
    const followUp = await message({ tracked: false, threadId: 'thr_500', ancestors: ['<500@many.test>'] });
    const page = Array.from({ length: 500 }, (_, at) =>
      mail({
        inReplyTo: [`<${at}@none.test>`],
        references: [`<${at + 1}@many.test>`, followUp.messageId],
        threadKey: `${at}`,
      }),
    );
    const work = async (): Promise<{ scans: number; rows: number }> => {
      await one`select pg_stat_force_next_flush()`;
      const [read] = await one<{ scans: number; rows: number }[]>`
        select sum(seq_scan)::float8 as scans, sum(idx_tup_fetch)::float8 as rows from pg_stat_user_tables
        where relname in ('messages', 'received_messages')`;
      assert.ok(read);
      return read;
    };
    for (const analysed of [false, true]) {
      if (analysed) await one`analyze messages, received_messages`;
      const start = await work();
      // The driver's statements are planned for all parameters together from the sixth time on.
      for (let round = 0; round < 8; round++) {
        const found = await matchByHeaders(one, mailbox, page);
        assert.equal(found.filter((each) => each !== null).length, 500);
        await ownMessages(one, mailbox, page);
        await matchByThreadKeys(one, mailbox, page);
        await matchByToken({ sql: one, keys }, mailbox, quoting(tokenOf(followUp.id)));
      }
      const end = await work();
      assert.equal(end.scans, start.scans, 'whole tables read');
      assert.ok(end.rows - start.rows < 8 * 2_000, `${end.rows - start.rows} rows read, analysed: ${analysed}`);
    }
  } finally {
    await one.end({ timeout: 1 });
  }
});
