import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { tryDueDrafts } from '../../test/support/due-drafts.ts';
import { type Sender as Ground, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { ApiError } from '../errors.ts';
import type { Sender } from '../grants/senders.ts';
import { uuidv7 } from '../ids.ts';
import type { SendOutcome } from '../providers/provider.ts';
import { listDrafts } from './draft-list.ts';
import { findDraft } from './draft-rows.ts';
import { type SentDraft, sendDraft } from './draft-sending.ts';
import { createDraft, deleteDraft, updateDraft } from './drafts.ts';
import type { Ledger } from './ledger.ts';

let ground: Ground;
let sender: Sender;
/** What the provider was given, by Message-ID. */
let sends: string[] = [];
/** What holds the provider up. */
let provider: Promise<unknown> = Promise.resolve();
let outcome: SendOutcome | null = null;
/** What holds the writing of a message's row up. */
let writing: Promise<unknown> = Promise.resolve();
let reserving = 0;

before(async () => {
  ground = await startSender((deps) => {
    const { practice } = deps.providers;
    const send: typeof practice.send = async (_account, _access, mail) => {
      sends.push(mail.messageId);
      await provider;
      return outcome ?? { kind: 'sent', messageId: mail.messageId, refused: [] };
    };
    const ledger: Ledger = {
      ...deps.ledger,
      async reserve(reservation) {
        reserving += 1;
        await writing;
        return await deps.ledger.reserve(reservation);
      },
    };
    return { ...deps, ledger, providers: { ...deps.providers, practice: { ...practice, send } } };
  });
  sender = await ground.deps.senders(ground.grant.app, ground.grant.id);
});
after(async () => {
  await ground.close();
});
beforeEach(async () => {
  sends = [];
  outcome = null;
  provider = Promise.resolve();
  writing = Promise.resolve();
  reserving = 0;
  await ground.database.sql`delete from drafts`;
});

async function create(): Promise<string> {
  const mail = {
    from: null,
    to: [{ email: 'kim@client.test' }],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: 'Offer',
    body: 'x',
    isPlaintext: false,
    replyToMessageId: '',
    customHeaders: [],
    metadata: {},
    attachments: [],
    tracking: { opens: true, links: false, threadReplies: false, label: '' },
  };
  return (await createDraft(ground.deps, sender, mail, { starred: false })).id;
}

const send = (id: string, message?: string): Promise<SentDraft> => sendDraft(ground.deps, sender, id, { id: message });
const find = (id: string) => findDraft(ground.database.sql, ground.grant, id);
const change = (id: string) => updateDraft(ground.deps, sender, id, { mail: { subject: 'changed' } });
const remove = (id: string) => deleteDraft(ground.deps, ground.grant, id);

async function listed(): Promise<number> {
  const page = { limit: 10, after: null };
  return (await listDrafts(ground.database.sql, ground.grant, {}, page)).drafts.length;
}

function gate(): { readonly open: () => void; readonly closed: Promise<void> } {
  let open = (): void => {};
  const closed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, closed };
}

function isBusy(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof ApiError && error.status === 409 && pattern.test(error.message);
}

/** As if the time for what is under way were over. */
async function late(): Promise<void> {
  await ground.database.sql`update drafts set keep_at = now() - interval '1 second'`;
}

async function work(): Promise<void> {
  await late();
  const counts = { kept: 0, removed: 0, retried: 0, givenUp: 0 };
  await tryDueDrafts({ ...ground.deps, schedule: [0] }, counts);
}

async function states(): Promise<unknown[]> {
  const rows = await ground.database.sql`
    select m.state from drafts d join messages m on m.app = d.app and m.id = d.message_id`;
  return rows.map(({ state }) => state);
}

describe('a draft that is sent', () => {
  it('by many calls at once is sent by one of them', async () => {
    const id = await create();
    const { open, closed } = gate();
    provider = closed;
    const calls = Array.from({ length: 8 }, () => send(id));
    const refused = Promise.allSettled(calls);
    await eventually('one of them sends', () => sends[0]);
    open();
    const results = await refused;
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.equal(sends.length, 1);
    assert.equal(await find(id), null);
  });

  it('can meanwhile be seen, but neither changed nor deleted nor sent, and is in no list', async () => {
    const id = await create();
    const { open, closed } = gate();
    provider = closed;
    const sending = send(id);
    await eventually('it is being sent', () => sends[0]);
    assert.equal((await find(id))?.mail.subject, 'Offer');
    assert.equal(await listed(), 0);
    for (const call of [change, remove, send]) await assert.rejects(call(id), isBusy(/^The draft is being sent\.$/));
    await late(); // its message is written: no time is over
    for (const call of [change, remove, send]) await assert.rejects(call(id), isBusy(/being sent/));
    open();
    await sending;
    assert.equal(sends.length, 1);
    assert.equal(await find(id), null);
  });

  it('leaves nothing behind', async () => {
    const id = await create();
    await send(id);
    await work();
    assert.equal((await ground.database.sql`select from drafts`).length, 0);
    await assert.rejects(send(id), /no draft/);
  });

  it('is a draft again after a failure, as which it is sent once more', async () => {
    const id = await create();
    outcome = { kind: 'deferred', reason: '450 later' };
    await assert.rejects(send(id), /try again later/);
    assert.deepEqual([(await find(id))?.id, await listed()], [id, 1]);
    await work(); // the mailbox is made like it
    outcome = null;
    await send(id);
    assert.equal(sends.length, 2);
  });

  it('is what became of its message where that is known later only', async () => {
    for (const [state, isDraft] of [
      ['failed', true],
      ['sent', false],
    ] as const) {
      const id = await create();
      outcome = { kind: 'unknown', reason: 'gone' };
      await assert.rejects(send(id), /timed out/);
      await assert.rejects(change(id), isBusy(/may have been sent/));
      await work();
      assert.deepEqual(await states(), ['unknown']);
      await ground.database.sql`update messages set state = ${state} where state = 'unknown'`;
      assert.equal((await find(id)) !== null, isDraft, state);
      await work();
      assert.equal((await find(id)) !== null, isDraft, state);
      assert.equal(await listed(), isDraft ? 1 : 0);
      if (isDraft) {
        await change(id);
        await remove(id);
        await work();
      }
      assert.equal((await ground.database.sql`select from drafts`).length, 0);
    }
  });
});

describe('a send of a draft that dies', () => {
  /** Before its message is written; the returned one wakes it up again. */
  async function diesEarly(id: string, message?: string): Promise<() => Promise<PromiseSettledResult<SentDraft>>> {
    const { open, closed } = gate();
    writing = closed;
    const sending = Promise.allSettled([send(id, message)]);
    await eventually('it is about to write', () => reserving || undefined);
    writing = Promise.resolve();
    return async () => {
      open();
      const [result] = await sending;
      return result;
    };
  }

  it('and comes back half a minute later sends nothing: it may be thought not to have been sent', async (t) => {
    const id = await create();
    const wake = await diesEarly(id);
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 31_000 });
    const result = await wake();
    t.mock.timers.reset();
    assert.ok(result?.status === 'rejected' && result.reason instanceof ApiError && result.reason.status === 503);
    assert.deepEqual([sends.length, await listed()], [0, 1]);
    await send(id);
    assert.equal(sends.length, 1);
  });

  it('before anything was written leaves a draft, after a while', async () => {
    const id = await create();
    const wake = await diesEarly(id);
    await assert.rejects(change(id), isBusy(/is being sent/));
    assert.equal(await listed(), 0);
    await late();
    assert.equal(await listed(), 1);
    assert.equal((await change(id)).mail.subject, 'changed');
    assert.equal((await wake()).status, 'rejected', 'a dead one that comes back sends nothing');
    assert.deepEqual([sends, (await find(id))?.mail.subject], [[], 'changed']);
    await send(id);
    assert.equal(sends.length, 1);
  });

  for (const [name, act] of [
    ['sent', (id: string) => send(id)],
    ['deleted', (id: string) => remove(id)],
    ['looked after', () => work()],
  ] as const) {
    it(`does not come back to send a draft that was ${name} since`, async () => {
      const id = await create();
      const wake = await diesEarly(id);
      await late();
      await act(id);
      const before = [...sends];
      assert.equal((await wake()).status, 'rejected');
      assert.deepEqual(sends, before);
      if (name === 'looked after') assert.deepEqual([(await find(id))?.id, await listed()], [id, 1]);
    });
  }

  it('is gone on with under its own id, and still one of both sends', async () => {
    const id = await create();
    const message = uuidv7();
    const wake = await diesEarly(id, message);
    await assert.rejects(send(id, uuidv7()), isBusy(/is being sent/));
    const { sent } = await send(id, message);
    assert.equal(sent.id, message);
    assert.equal((await wake()).status, 'rejected');
    assert.equal(sends.length, 1);
  });

  it('that comes back first sends, and the others do not', async () => {
    const id = await create();
    const wake = await diesEarly(id);
    assert.equal((await wake()).status, 'fulfilled');
    await assert.rejects(send(id), /no draft/);
    assert.equal(sends.length, 1);
  });

  it('after the mail has left leaves no draft', async () => {
    const id = await create();
    await send(id);
    await ground.database.sql`update drafts set deleted = false`; // it died before it could say so
    assert.equal(await find(id), null);
    await assert.rejects(send(id), /no draft/);
    await work();
    assert.equal((await ground.database.sql`select from drafts`).length, 0);
    assert.equal(sends.length, 1);
  });
});
