// Recovery for many: what stands in the way of one message or mailbox leaves the others alone.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { type Grant, saveGrant } from '../grants/grants.ts';
import { uuidv7 } from '../ids.ts';
import type { FindOutcome, PracticeCredentials, Provider } from '../providers/provider.ts';
import { messageById, reserve } from '../tracking/messages.ts';
import { recoverSends, startRecovery } from './recover.ts';

let sender: Sender;
let asked: { readonly grantId: string; readonly messageId: string }[] = [];
let atOnce = new Map<string, number>();
let most = { grants: 0, ofOne: 0 };
type Behaviour = (messageId: string, signal: AbortSignal) => Promise<FindOutcome>;
/** By grant; the others never took the mail. */
const behaviours = new Map<string, Behaviour>();

before(async () => {
  sender = await startSender((deps) => {
    const practice: Provider<PracticeCredentials> = {
      ...deps.providers.practice,
      async findSent({ grantId }, _access, messageId, signal) {
        asked.push({ grantId, messageId });
        atOnce.set(grantId, (atOnce.get(grantId) ?? 0) + 1);
        most = {
          grants: Math.max(most.grants, [...atOnce.values()].filter((count) => count > 0).length),
          ofOne: Math.max(most.ofOne, ...atOnce.values()),
        };
        try {
          return await (behaviours.get(grantId) ?? absent)(messageId, signal);
        } finally {
          atOnce.set(grantId, (atOnce.get(grantId) ?? 0) - 1);
        }
      },
    };
    return { ...deps, providers: { ...deps.providers, practice } };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  asked = [];
  atOnce = new Map();
  most = { grants: 0, ofOne: 0 };
  behaviours.clear();
  await sender.database.sql`delete from messages`;
});

const absent: Behaviour = async () => ({ kind: 'absent' });

/** Says nothing until it is cut off. */
const silent: Behaviour = (_messageId, signal) =>
  new Promise((resolve) => {
    const end = (): void => resolve({ kind: 'unreachable', reason: 'cut off' });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });

let mailboxes = 0;

async function mailbox(behaviour: Behaviour = absent): Promise<Grant> {
  const { grant } = await saveGrant(sender.deps, sender.grant.app, {
    provider: 'practice',
    email: `box${++mailboxes}@practice.test`,
    credentials: { provider: 'practice', key: 'k' },
  });
  behaviours.set(grant.id, behaviour);
  return grant;
}

/** A message as a process leaves it that died so many minutes ago while it sent it. */
async function leftBy(grant: Grant, minutes = 5): Promise<string> {
  const id = uuidv7();
  const { sql } = sender.database;
  const message = {
    app: grant.app,
    id,
    grantId: grant.id,
    label: '',
    opens: true,
    links: false,
    threadReplies: false,
    messageId: `<${id}@practice.test>`,
    threadId: 'thr_x',
    ancestors: [],
    subject: '',
    metadata: {},
  };
  await reserve(sql, message, []);
  await sql`
    update messages set state_at = now() - ${minutes}::integer * interval '1 minute',
      created_at = now() - ${minutes}::integer * interval '1 minute'
    where id = ${id}`;
  return id;
}

async function stateOf(id: string): Promise<string | undefined> {
  return (await messageById(sender.database.sql, sender.grant.app, id))?.state;
}

describe('recovery of many', () => {
  it('goes on where the vault does not open the credentials of one, and does not ask it first again', async () => {
    const sealed = await mailbox();
    await sender.database.sql`update grants set credentials = 'rubbish' where id = ${sealed.id}`;
    const stuck = await leftBy(sealed, 60);
    const other = await leftBy(await mailbox());
    assert.equal(await recoverSends(sender.deps), 2);
    assert.deepEqual([await stateOf(stuck), await stateOf(other)], ['unknown', 'failed']);
    assert.equal(await recoverSends(sender.deps), 0);
  });

  it('goes on where the database refuses what was found of one, and looks for that one later', async () => {
    const grant = await mailbox(async (messageId) =>
      messageId.includes(strange) ? { kind: 'found', messageId, providerMessageId: 'a\u0000b' } : { kind: 'absent' },
    );
    const strange = await leftBy(grant, 60);
    const others = [await leftBy(grant), await leftBy(await mailbox())];
    assert.equal(await recoverSends(sender.deps), 3);
    assert.deepEqual(await Promise.all([strange, ...others].map(stateOf)), ['unknown', 'failed', 'failed']);
    assert.equal(await recoverSends(sender.deps), 0);
    assert.equal(asked.length, 3);
  });

  it('goes on where the database refuses whatever is written of one', async () => {
    const { sql } = sender.database;
    const [stuck, other] = [await leftBy(await mailbox(), 60), await leftBy(await mailbox())];
    await sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
      create trigger refuses before update on messages for each row when (old.id = '${stuck}') execute function refuse()`);
    try {
      assert.equal(await recoverSends(sender.deps), 1);
      assert.deepEqual([await stateOf(stuck), await stateOf(other)], ['sending', 'failed']);
    } finally {
      await sql`drop function refuse cascade`;
    }
  });

  it('rests after a day, also for what was never looked up', async () => {
    const throws = await mailbox(async () => {
      throw new Error('a bug');
    });
    const id = await leftBy(throws, 25 * 60);
    assert.equal(await recoverSends(sender.deps), 1);
    await sender.database.sql`update messages set state_at = state_at - interval '1 hour'`;
    assert.equal(await recoverSends(sender.deps), 0);
    assert.deepEqual([await stateOf(id), asked.length], ['unknown', 1]);
  });

  it('asks a mailbox that says nothing once a pass, while the others are served', async () => {
    const dead = await mailbox(silent);
    const stuck = [];
    for (let i = 0; i < 20; i++) stuck.push(await leftBy(dead, 60));
    const live = await mailbox();
    const others = [await leftBy(live), await leftBy(live)];
    const pass = recoverSends({ ...sender.deps, lookUpMs: 1_000 });
    await eventually('the others are served', async () => {
      const states = await Promise.all(others.map(stateOf));
      return states.every((state) => state === 'failed') ? true : undefined;
    });
    assert.equal(await stateOf(stuck[1] ?? ''), 'sending');
    assert.equal(await pass, 22);
    assert.deepEqual(new Set(await Promise.all(stuck.map(stateOf))), new Set(['unknown']));
    assert.equal(asked.length, 3);
  });

  it('asks eight mailboxes at once, each for one message at a time', async () => {
    const slow: Behaviour = async () => {
      await new Promise((resolve) => setTimeout(resolve, 150)); // longer than a busy machine takes to begin with all eight
      return { kind: 'absent' };
    };
    const grants = await Promise.all(Array.from({ length: 12 }, () => mailbox(slow)));
    for (const grant of grants) for (let i = 0; i < 3; i++) await leftBy(grant);
    assert.equal(await recoverSends(sender.deps), 36);
    assert.deepEqual(most, { grants: 8, ofOne: 1 });
  });

  it('is cut off when it is closed, and settles nothing then', async () => {
    const dead = await Promise.all(Array.from({ length: 3 }, () => mailbox(silent)));
    const ids = [];
    for (const grant of dead) ids.push(await leftBy(grant), await leftBy(grant));
    const recovery = startRecovery(sender.deps);
    await eventually('all are asked', () => (asked.length === 3 ? true : undefined));
    const began = performance.now();
    await recovery.close();
    assert.ok(performance.now() - began < 1_000);
    assert.deepEqual(new Set(await Promise.all(ids.map(stateOf))), new Set(['sending']));
    assert.equal(asked.length, 3);
  });

  it('makes one pass at a time, however long that takes', async () => {
    const dead = await mailbox(silent);
    await leftBy(dead);
    const recovery = startRecovery({ ...sender.deps, everyMs: 5, lookUpMs: 60_000 });
    await eventually('it is asked', () => (asked.length === 1 ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, 100)); // twenty ticks
    const began = performance.now();
    await recovery.close();
    assert.ok(performance.now() - began < 1_000);
    assert.equal(asked.length, 1);
  });
});
