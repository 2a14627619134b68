import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import { parseKeyring } from '../keyring.ts';
import type { Credentials } from '../providers/provider.ts';
import { createApplication } from './applications.ts';
import { openCredentials } from './credentials.ts';
import { readGrantDetail } from './grant-facts.ts';
import {
  addPracticeGrant,
  createPracticeGrant,
  deleteGrant,
  expireGrant,
  findGrant,
  resolveGrant,
  saveGrant,
  updateGrant,
} from './grants.ts';
import { makeVault } from './vault.ts';

const vault = makeVault(parseKeyring('a secret long enough for tests'));
let database: TestDatabase;
let sql: Sql;
let app: number;
let names = 0;

const SECRET: Credentials = { provider: 'practice', key: 'secret' };

before(async () => {
  database = await testDatabase(migrate);
  sql = database.sql;
});
after(async () => await database.drop());
beforeEach(async () => {
  app = await newApplication();
});

describe('what is told of a grant', () => {
  it('is each change of its state, once, by the call that made it', async () => {
    const { grant } = await saveGrant({ sql, vault }, app, {
      provider: 'imap',
      email: 'Kim@example.com',
      name: 'Kim \ud800', // no text of the database, which keeps U+FFFD
      scope: ['mail.send'],
    });
    await updateGrant(sql, app, grant.id, { scope: ['mail.read', 'a "b", \\c'] });
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => expireGrant(sql, app, grant.id))).then(trues), 1);
    await save('kim@example.com');
    await expireGrant(sql, app, grant.id);
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => deleteGrant(sql, app, grant.id))).then(trues), 1);
    assert.equal(await expireGrant(sql, app, grant.id), false);
    assert.equal(await updateGrant(sql, app, grant.id, { scope: [] }), null);

    const known = { provider: 'imap', email: 'Kim@example.com', name: 'Kim \ufffd', reauthenticated: false };
    const changed = { ...known, scope: ['mail.read', 'a "b", \\c'] };
    const facts = await factsOf(app);
    assert.deepEqual(
      facts.map(({ trigger, detail: { updated_at, ...detail } }) => ({ trigger, detail })),
      [
        { trigger: 'grant.created', detail: { ...known, scope: ['mail.send'] } },
        { trigger: 'grant.updated', detail: changed },
        { trigger: 'grant.expired', detail: changed },
        { trigger: 'grant.updated', detail: { ...changed, reauthenticated: true } },
        { trigger: 'grant.expired', detail: changed },
        { trigger: 'grant.deleted', detail: changed },
      ],
    );
    for (const { subject, detail, at } of facts) {
      assert.equal(subject, grant.id);
      assert.equal(detail.updated_at, Math.floor(at.getTime() / 1000));
    }
  });

  it('is one creation where sign-ins come at the same moment', async () => {
    await Promise.all(Array.from({ length: 6 }, () => save('kim@example.com')));
    const facts = await factsOf(app);
    const flags = facts.map(({ trigger, detail }) => `${trigger} ${detail.reauthenticated}`).sort();
    assert.deepEqual(flags, ['grant.created false', ...Array.from({ length: 5 }, () => 'grant.updated true')]);
  });

  it('says imap for a practice mailbox, and nothing where the one there is will do', async () => {
    await createPracticeGrant({ sql, vault }, app);
    await createPracticeGrant({ sql, vault }, app);
    const facts = await factsOf(app);
    assert.deepEqual(
      facts.map(({ trigger, detail }) => [trigger, detail.provider, detail.name]),
      [['grant.created', 'imap', 'Practice Sender']],
    );
  });

  it('is nothing where the change is rolled back', async () => {
    const given = new Error('not after all');
    const undone = transaction(sql, async (tx) => {
      await addPracticeGrant(tx, vault, app);
      throw given;
    });
    await assert.rejects(undone, given);
    assert.deepEqual(await factsOf(app), []);
  });

  it('goes with the change or not at all: no fact, no new state', async () => {
    const { grant } = await save('kim@example.com', SECRET);
    const other = await newApplication();
    await sql`delete from outbox`;
    await sql`alter table outbox add constraint refused check (app <> ${sql.unsafe(String(app))})`;
    try {
      const refused = { code: '23514' };
      await assert.rejects(expireGrant(sql, app, grant.id), refused);
      await assert.rejects(updateGrant(sql, app, grant.id, { scope: ['x'] }), refused);
      await assert.rejects(deleteGrant(sql, app, grant.id), refused);
      await assert.rejects(save('lee@example.com'), refused);
      await createPracticeGrant({ sql, vault }, other);
    } finally {
      await sql`alter table outbox drop constraint refused`;
    }
    const still = await resolveGrant(sql, app, grant.id);
    assert.deepEqual([still.state, still.scope], ['valid', []]);
    assert.deepEqual(await openCredentials({ sql, vault }, app, grant.id), SECRET);
    assert.equal(await findGrant(sql, app, 'lee@example.com'), null);
    assert.deepEqual(await factsOf(app), []);
  });
});

it('what is read back is what was written, and nothing else', async () => {
  await save('kim@example.com');
  const [fact] = await factsOf(app);
  assert.deepEqual(readGrantDetail(fact?.detail), {
    provider: 'imap',
    email: 'kim@example.com',
    name: '',
    scope: [],
    updatedAt: fact?.detail.updated_at,
    reauthenticated: false,
  });
  for (const name of Object.keys(fact?.detail ?? {})) {
    assert.equal(readGrantDetail({ ...fact?.detail, [name]: undefined }), null, name);
  }
  for (const other of [null, undefined, 'text', [], {}, { ...fact?.detail, scope: [1] }]) {
    assert.equal(readGrantDetail(other), null);
  }
});

async function save(email: string, credentials?: Credentials): ReturnType<typeof saveGrant> {
  return await saveGrant({ sql, vault }, app, { provider: 'imap', email, ...(credentials ? { credentials } : {}) });
}

interface GrantFact {
  readonly trigger: string;
  readonly subject: string;
  readonly detail: { readonly [name: string]: unknown };
  readonly at: Date;
}

async function factsOf(app: number): Promise<readonly GrantFact[]> {
  const rows = await sql<GrantFact[]>`
    select trigger, subject, detail, happened_at as at from outbox where app = ${app} order by position`;
  return [...rows];
}

function trues(answers: readonly boolean[]): number {
  return answers.filter((answer) => answer).length;
}

async function newApplication(): Promise<number> {
  const made = await createApplication(sql, { name: `app ${++names}`, environment: 'production' });
  assert.ok(made);
  return made.serial;
}
