import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it, mock } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { deleteGrant } from '../grants/grants.ts';
import { uuidv7 } from '../ids.ts';
import type { FindOutcome, PracticeCredentials, Provider } from '../providers/provider.ts';
import { messageById, reserve, type SendResult, settleAll } from '../tracking/messages.ts';
import { telling } from '../tracking/send-facts.ts';
import { recoverSends, startRecovery } from './recover.ts';

let sender: Sender;
let asked: string[] = [];
let sends = 0;
let outcome: FindOutcome = { kind: 'absent' };

before(async () => {
  sender = await startSender((deps) => {
    const practice: Provider<PracticeCredentials> = {
      ...deps.providers.practice,
      send: async () => {
        sends += 1;
        return { kind: 'unknown', reason: 'never' };
      },
      findSent: async (_account, _credentials, messageId) => {
        asked.push(messageId);
        return outcome;
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
  await sender.database.sql`delete from messages`;
});

/** One pass over messages whose state is older by so many minutes. */
async function recoverAfter(minutes: number): Promise<number> {
  await age(minutes);
  return await recoverSends(sender.deps);
}

async function age(minutes: number): Promise<void> {
  await sender.database.sql`update messages set state_at = state_at - ${minutes}::integer * interval '1 minute'`;
}

/** A message as a process leaves it that dies in this state. */
async function leftIn(state: 'sending' | 'unknown', grant = sender.grant): Promise<string> {
  const { sql } = sender.database;
  const id = uuidv7();
  await reserve(
    sql,
    {
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
    },
    [],
  );
  if (state === 'unknown') await settle(id, { state, error: { kind: 'unknown', reason: 'cut' } }, grant.app);
  return id;
}

/** As the sender does it; whether the message changed. */
async function settle(id: string, result: SendResult, app = sender.grant.app): Promise<boolean> {
  const settlement = { app, id, result, telling: telling(false, null, null) };
  return (await settleAll(sender.database.sql, [settlement])).changed.size > 0;
}

async function stateOf(id: string): Promise<string | undefined> {
  return (await messageById(sender.database.sql, sender.grant.app, id))?.state;
}

describe('recovery', () => {
  it('leaves sends alone that may still be going on', async () => {
    const ids = [await leftIn('sending'), await leftIn('unknown')];
    assert.equal(await recoverAfter(1), 0);
    assert.deepEqual(await Promise.all(ids.map(stateOf)), ['sending', 'unknown']);
    assert.deepEqual(asked, []);
  });

  it('goes by the database’s clock, not by this machine’s', async () => {
    const ids = [await leftIn('sending'), await leftIn('unknown')];
    mock.timers.enable({ apis: ['Date'], now: Date.now() + 3_600_000 });
    try {
      assert.equal(await recoverSends(sender.deps), 0);
    } finally {
      mock.timers.reset();
    }
    assert.deepEqual(await Promise.all(ids.map(stateOf)), ['sending', 'unknown']);
    assert.deepEqual(asked, []);
  });

  it('that found no mail gives way to the sender, who knows that it was taken', async () => {
    const { sql } = sender.database;
    const { app } = sender.grant;
    const id = await leftIn('sending');
    outcome = { kind: 'absent' };
    await recoverAfter(3);
    assert.equal(await stateOf(id), 'failed');
    assert.equal(await settle(id, { state: 'unknown', error: { kind: 'unknown', reason: 'cut' } }), false);
    assert.equal(await settle(id, { state: 'sent', messageId: '<a@b>', providerMessageId: 'p' }), true);
    const message = await messageById(sql, app, id);
    assert.deepEqual([message?.state, message?.messageId, message?.providerMessageId], ['sent', '<a@b>', 'p']);
    const [row] = await sql`select error from messages where id = ${id}`;
    assert.equal(row?.error, null);
  });

  const endings: [FindOutcome, string][] = [
    [{ kind: 'found', messageId: '<other@provider.test>', providerMessageId: 'p1' }, 'sent'],
    [{ kind: 'absent' }, 'failed'],
    [{ kind: 'unsure' }, 'unknown'],
    [{ kind: 'unreachable', reason: 'down' }, 'unknown'],
    [{ kind: 'unauthorised', reason: 'expired' }, 'unknown'],
  ];
  for (const state of ['sending', 'unknown'] as const) {
    for (const [found, expected] of endings) {
      it(`looks up what was left ${state}: ${found.kind} is ${expected}`, async () => {
        const id = await leftIn(state);
        outcome = found;
        await recoverAfter(11);
        assert.equal(await stateOf(id), expected);
        assert.deepEqual(asked, [`<${id}@practice.test>`]);
      });
    }
  }

  it('keeps the ids under which the mail was found', async () => {
    const id = await leftIn('sending');
    outcome = { kind: 'found', messageId: '<other@provider.test>', providerMessageId: 'p1' };
    await recoverAfter(3);
    const message = await messageById(sender.database.sql, sender.grant.app, id);
    assert.deepEqual([message?.messageId, message?.providerMessageId], ['<other@provider.test>', 'p1']);
  });

  it('looks again every ten minutes for a day', async () => {
    await leftIn('unknown');
    outcome = { kind: 'unsure' };
    await recoverAfter(9);
    assert.equal(asked.length, 0);
    await recoverAfter(2);
    assert.equal(asked.length, 1);
    await sender.database
      .sql`update messages set created_at = now() - interval '25 hours', state_at = now() - interval '1 hour'`;
    await recoverAfter(0);
    assert.equal(asked.length, 1);
  });

  it('does not fail on a deleted grant', async () => {
    const { grant } = await sender.application('production');
    const id = await leftIn('sending', grant);
    await deleteGrant(sender.database.sql, grant.app, grant.id);
    await recoverAfter(3);
    assert.equal((await messageById(sender.database.sql, grant.app, id))?.state, 'unknown');
  });

  it('never sends, and looks at once when it starts', async () => {
    const id = await leftIn('sending');
    outcome = { kind: 'absent' };
    await age(3);
    const recovery = startRecovery(sender.deps);
    await eventually('it is recovered', async () => ((await stateOf(id)) === 'failed' ? true : undefined));
    await recovery.close();
    assert.equal(sends, 0);
  });

  it('ends what the version before left reserved, once it was silent for long enough', async () => {
    const { sql } = sender.database;
    const [young, old] = [await leftIn('sending'), await leftIn('sending')];
    await sql`update messages set state = 'reserved'`;
    await sql`update messages set state_at = state_at - interval '3 minutes' where id = ${old}`;
    assert.equal(await recoverSends(sender.deps), 1);
    assert.deepEqual([await stateOf(young), await stateOf(old)], ['reserved', 'failed']);
    const [row] = await sql`select error from messages where id = ${old}`;
    assert.equal(row?.error.reason, 'the process ended before handing the mail over');
    assert.deepEqual(asked, []);
  });
});

describe('a message that came to rest', () => {
  it('stays as it is', async () => {
    const id = await leftIn('sending');
    assert.equal(await settle(id, { state: 'sent', messageId: '<a@b>', providerMessageId: null }), true);
    assert.equal(await settle(id, { state: 'failed', error: { kind: 'x', reason: 'y' } }), false);
    assert.equal(await stateOf(id), 'sent');
    const refused = await leftIn('sending');
    await settle(refused, { state: 'failed', error: { kind: 'rejected', reason: 'no' } });
    const late = { state: 'sent', messageId: '<a@b>', providerMessageId: null } as const;
    assert.equal(await settle(refused, late), false);
    assert.equal(await stateOf(refused), 'failed');
  });
});
