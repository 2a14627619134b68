import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { uuidv7 } from '../ids.ts';
import { messageById, type SendResult, type TrackedMessage } from '../tracking/messages.ts';
import { telling } from '../tracking/send-facts.ts';
import { type Ledger, makeLedger } from './ledger.ts';

const SENT: SendResult = { state: 'sent', messageId: '<left@shop.test>', providerMessageId: null };
const FAILED: SendResult = { state: 'failed', error: { kind: 'unreachable', reason: 'gone' } };
const UNKNOWN: SendResult = { state: 'unknown', error: { kind: 'unknown', reason: 'cut' } };

let sender: Sender;
let ledger: Ledger;
let logged: string[] = [];

before(async () => {
  sender = await startSender();
});
after(async () => {
  await sender.close();
});
beforeEach(() => {
  logged = [];
  const log = {
    warn: (_fields: object, event?: string) => void logged.push(`warn ${event}`),
    error: (_fields: object, event?: string) => void logged.push(`error ${event}`),
  };
  ledger = makeLedger({ sql: sender.database.sql, log, retryMs: 20 });
});

function message(change: Partial<TrackedMessage> = {}): TrackedMessage {
  const id = uuidv7();
  return {
    app: sender.grant.app,
    id,
    grantId: sender.grant.id,
    label: '',
    opens: true,
    links: true,
    threadReplies: false,
    messageId: `<${id}@shop.test>`,
    threadId: 't',
    ancestors: ['<a@b>', '<c "d", e@f>'],
    subject: 'Hello',
    metadata: { key: 'value' },
    ...change,
  };
}

function reserved(of: TrackedMessage, urls: readonly string[] = []) {
  return ledger.reserve({ message: of, links: urls.map((url, index) => ({ index, url })) });
}

function settled(of: TrackedMessage, result: SendResult, raw: Buffer | null = null): Promise<void> {
  const { app, id, grantId } = of;
  const copy = raw && { app, message: id, grantId, messageId: '<left@shop.test>', raw };
  return ledger.settle({ settlement: { app, id, result, telling: telling(false, null, null) }, copy });
}

async function stateOf({ app, id }: TrackedMessage): Promise<string | undefined> {
  return (await messageById(sender.database.sql, app, id))?.state;
}

async function copies({ id }: TrackedMessage): Promise<number> {
  return (await sender.database.sql`select from sent_copies where message_id = ${id}`).length;
}

describe('the ledger of sends', () => {
  it('writes many at once, each as it is', async () => {
    const messages = Array.from({ length: 120 }, (_, at) => message({ subject: `No. ${at}` }));
    const kinds = await Promise.all(
      messages.map((each, at) => reserved(each, at % 2 ? ['https://a.test/?x=1&y="2"'] : [])),
    );
    assert.deepEqual(new Set(kinds), new Set(['reserved']));
    await Promise.all(messages.map((each, at) => settled(each, at % 3 ? SENT : FAILED)));
    for (const [at, each] of messages.entries()) {
      const stored = await messageById(sender.database.sql, each.app, each.id);
      assert.deepEqual([stored?.subject, stored?.state], [`No. ${at}`, at % 3 ? 'sent' : 'failed']);
      assert.deepEqual([stored?.ancestors, stored?.metadata], [each.ancestors, each.metadata]);
    }
  });

  it('refuses the one that cannot be stored, and no other of its batch', async () => {
    const messages = Array.from({ length: 20 }, (_, at) => message(at === 7 ? { metadata: { key: 'a\0b' } } : {}));
    const kinds = await Promise.all(messages.map((each) => reserved(each)));
    assert.deepEqual(
      kinds.map((kind, at) => (kind === 'unstorable' ? at : -1)).filter((at) => at >= 0),
      [7],
    );
    for (const [at, each] of messages.entries()) assert.equal(await stateOf(each), at === 7 ? undefined : 'sending');
  });

  it('takes text with half an emoji in it, as a field cut elsewhere leaves it', async () => {
    const half = message({ subject: 'Hello \ud83d', label: '\ude00!', metadata: { key1: 'v\ud800' } });
    assert.equal(await reserved(half, ['https://a.test/\ud83d']), 'reserved');
    const stored = await messageById(sender.database.sql, half.app, half.id);
    assert.deepEqual([stored?.subject, stored?.label], ['Hello \ufffd', '\ufffd!']);
    assert.deepEqual(stored?.metadata, { key1: 'v\ufffd' });
  });

  it('believes the surest of two results that come together, and keeps its copy alone', async () => {
    for (const order of [0, 1]) {
      const [late, cut] = [message(), message()];
      await Promise.all([reserved(late), reserved(cut)]);
      const told = [
        () => settled(late, UNKNOWN),
        () => settled(late, SENT, Buffer.from('copy')),
        () => settled(cut, FAILED),
        () => settled(cut, UNKNOWN),
      ];
      await Promise.all((order === 0 ? told : told.reverse()).map((tell) => tell()));
      assert.deepEqual([await stateOf(late), await copies(late)], ['sent', 1]);
      assert.deepEqual([await stateOf(cut), await copies(cut)], ['failed', 0]);
    }
  });

  it('keeps no copy of what had come to rest otherwise', async () => {
    const rested = message();
    await reserved(rested);
    await settled(rested, FAILED);
    await settled(rested, SENT, Buffer.from('copy'));
    assert.deepEqual([await stateOf(rested), await copies(rested)], ['failed', 0]);
  });

  it('goes on trying to write a result while the database cannot be reached, and gives up what it refuses', async () => {
    const { sql } = sender.database;
    const waiting = message();
    await reserved(waiting);
    await sql`alter table messages rename to away`; // 42P01: no batch would pass now
    await settled(waiting, SENT);
    assert.deepEqual(logged, ['warn send.recorded_late']);
    await sql`alter table away rename to messages`;
    await eventually('the result is written', async () => ((await stateOf(waiting)) === 'sent' ? true : undefined));

    const refused = message();
    await reserved(refused);
    await settled(refused, { state: 'failed', error: { kind: 'x', reason: 'a\0b' } });
    assert.equal(logged.at(-1), 'error send.unrecorded');
  });
});
