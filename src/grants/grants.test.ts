import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import type { Sql } from '../db/pool.ts';
import { readStops } from '../db/stops.ts';
import { ApiError } from '../errors.ts';
import { parseKeyring } from '../keyring.ts';
import type { Credentials } from '../providers/provider.ts';
import { createApplication, updateApplication } from './applications.ts';
import { openCredentials } from './credentials.ts';
import { type GrantList, listGrants } from './grant-list.ts';
import {
  createPracticeGrant,
  deleteGrant,
  expireGrant,
  type Grant,
  requireValid,
  resolveGrant,
  saveGrant,
  toWire,
  updateGrant,
} from './grants.ts';
import { parseSettings } from './settings.ts';
import { makeVault } from './vault.ts';

const vault = makeVault(parseKeyring('a secret long enough for tests'));
let database: TestDatabase;
let sql: Sql;
let app: number;
let names = 0;

before(async () => {
  database = await testDatabase(migrate);
  sql = database.sql;
});
after(async () => await database.drop());
beforeEach(async () => {
  app = await newApplication();
});

describe('saving a grant', () => {
  it('makes one per address and application, whatever the case of the letters', async () => {
    const made = await save('Kim@Example.com');
    const again = await save('kim@example.COM');
    assert.equal(made.created, true);
    assert.equal(again.created, false);
    assert.equal(again.grant.id, made.grant.id);
    assert.equal(again.grant.serial, made.grant.serial);
    const elsewhere = await saveGrant({ sql, vault }, await newApplication(), {
      provider: 'imap',
      email: 'kim@example.com',
    });
    assert.notEqual(elsewhere.grant.id, made.grant.id);
  });

  it('keeps its other addresses until others are named, or it is deleted', async () => {
    const owner = { provider: 'imap', email: 'kim@example.com' } as const;
    const named = async (aliases?: readonly string[]) =>
      await saveGrant({ sql, vault }, app, { ...owner, ...(aliases && { aliases }) });
    const { grant } = await named(['sales@example.com']);
    assert.deepEqual(grant.aliases, ['sales@example.com']);
    assert.deepEqual(toWire(grant).email_aliases, ['sales@example.com']);
    assert.deepEqual((await named()).grant.aliases, ['sales@example.com']);
    assert.deepEqual((await named(['info@example.com'])).grant.aliases, ['info@example.com']);
    const cleared = (await named([])).grant;
    assert.deepEqual(cleared.aliases, []);
    assert.equal('email_aliases' in toWire(cleared), false);
    await named(['last@example.com']);
    await deleteGrant(sql, app, grant.id);
    const [row] = await sql`select aliases from grants where app = ${app} and id = ${grant.id}`;
    assert.deepEqual(row?.aliases, []);
  });

  it('re-authenticates an expired grant under its id, with the new credentials (D13)', async () => {
    const { grant } = await save('kim@example.com', 'old');
    assert.equal(await expireGrant(sql, app, grant.id), true);
    assert.equal(await expireGrant(sql, app, grant.id), false);
    const again = await save('kim@example.com', 'new');
    assert.equal(again.grant.id, grant.id);
    assert.equal(again.grant.state, 'valid');
    assert.deepEqual(await openCredentials({ sql, vault }, app, grant.id), credentials('new'));
  });

  it('keeps the known name where the new sign-in brings none', async () => {
    await saveGrant({ sql, vault }, app, { provider: 'imap', email: 'kim@example.com', name: 'Kim' });
    assert.equal((await save('kim@example.com')).grant.name, 'Kim');
  });

  it('makes one grant of sign-ins at the same moment', async () => {
    const saved = await Promise.all(Array.from({ length: 8 }, () => save('kim@example.com')));
    assert.equal(new Set(saved.map(({ grant }) => grant.id)).size, 1);
    assert.equal(saved.filter(({ created }) => created).length, 1);
  });
});

describe('credentials', () => {
  it('lie sealed in the row, for this grant alone', async () => {
    const { grant } = await save('kim@example.com', 'top secret');
    const other = await save('lee@example.com', 'other');
    const [row] = await sql<{ credentials: Buffer }[]>`select credentials from grants where id = ${grant.id}`;
    assert.ok(!row?.credentials.includes('top secret'));
    await sql`update grants set credentials = ${row?.credentials ?? null} where id = ${other.grant.id}`;
    await assert.rejects(openCredentials({ sql, vault }, app, other.grant.id));
  });

  it('are null where there are none', async () => {
    const { grant } = await save('kim@example.com');
    assert.equal(await openCredentials({ sql, vault }, app, grant.id), null);
  });
});

describe('the practice grant', () => {
  it('is made once and opens with its own key', async () => {
    const grant = await createPracticeGrant({ sql, vault }, app);
    assert.equal(grant.email, 'sender@practice.test');
    assert.equal(grant.provider, 'practice');
    const before = await openCredentials({ sql, vault }, app, grant.id);
    assert.equal((await createPracticeGrant({ sql, vault }, app)).id, grant.id);
    assert.deepEqual(await openCredentials({ sql, vault }, app, grant.id), before);
    assert.ok(before?.provider === 'practice');
    assert.match(before.key, /^[\w-]{43}$/);
  });

  it('is renewed once it expired', async () => {
    const grant = await createPracticeGrant({ sql, vault }, app);
    const before = await openCredentials({ sql, vault }, app, grant.id);
    await expireGrant(sql, app, grant.id);
    const renewed = await createPracticeGrant({ sql, vault }, app);
    assert.equal(renewed.id, grant.id);
    assert.equal(renewed.state, 'valid');
    assert.notDeepEqual(await openCredentials({ sql, vault }, app, grant.id), before);
  });
});

describe('naming a grant', () => {
  it('understands every form of contract 5.1', async () => {
    const { grant } = await save('Kim+news@Example.com');
    const forms = [
      grant.id,
      grant.id.toUpperCase(),
      `grant:${grant.id}`,
      'kim+news@example.com',
      'KIM+NEWS@EXAMPLE.COM',
      'email:kim+news@example.com',
    ];
    for (const form of forms) assert.equal((await resolveGrant(sql, app, form)).id, grant.id, form);
  });

  it('answers 404 grant.not_found for anything else', async () => {
    const { grant } = await save('kim@example.com');
    const wrong = [
      '',
      'nobody@example.com',
      'grant:kim@example.com',
      `email:${grant.id}`,
      `external:${grant.id}`,
      '00000000-0000-4000-8000-000000000000',
      'kim@example.com\0',
      '%',
      "' or 1=1 --@",
    ];
    for (const form of wrong)
      await assert.rejects(resolveGrant(sql, app, form), isRefusal(404, 'grant.not_found'), form);
    await assert.rejects(resolveGrant(sql, app + 1000, grant.id), isRefusal(404, 'grant.not_found'));
  });

  it('has no "me" for an API key', async () => {
    await assert.rejects(resolveGrant(sql, app, 'me'), isRefusal(401, 'api.authentication_error'));
  });

  it('finds an expired grant, which calls for re-authentication where the mailbox is needed', async () => {
    const { grant } = await save('kim@example.com');
    requireValid(grant);
    await expireGrant(sql, app, grant.id);
    const expired = await resolveGrant(sql, app, grant.id);
    assert.throws(() => requireValid(expired), isRefusal(401, 'api.authentication_error'));
  });
});

describe('deleting a grant', () => {
  it('erases the credentials, stops its links in the same transaction and frees the address', async () => {
    const { grant } = await save('kim@example.com', 'secret');
    const known = (await readStops(sql, -1))?.version ?? 0;
    assert.equal(await deleteGrant(sql, app, grant.id), true);
    const [row] = await sql`select state, credentials, settings from grants where id = ${grant.id}`;
    assert.deepEqual({ ...row }, { state: 'deleted', credentials: null, settings: {} });
    const table = await readStops(sql, known);
    assert.deepEqual(
      table?.stops.filter((stop) => stop.app === app).map((stop) => ({ ...stop })),
      [{ app, kind: 'grant', subject: String(grant.serial), action: 'stop', version: String(table?.version) }],
    );
    await assert.rejects(resolveGrant(sql, app, 'kim@example.com'), isRefusal(404, 'grant.not_found'));
    assert.equal(await deleteGrant(sql, app, grant.id), false);
    const fresh = await save('kim@example.com');
    assert.equal(fresh.created, true);
    assert.notEqual(fresh.grant.id, grant.id);
  });

  it('forwards where the application wants that', async () => {
    await updateApplication(sql, app, { settings: parseSettings({ deleted_grant_links: 'forward' }) });
    const { grant } = await save('kim@example.com');
    await deleteGrant(sql, app, grant.id);
    assert.equal(await actionFor(grant), 'forward');
  });

  it('ends with the setting’s action also when both change at the same moment', async () => {
    for (let round = 0; round < 10; round++) {
      const { grant } = await save(`kim${round}@example.com`);
      const action = round % 2 === 0 ? 'forward' : 'stop';
      await Promise.all([
        deleteGrant(sql, app, grant.id),
        updateApplication(sql, app, { settings: parseSettings({ deleted_grant_links: action }) }),
      ]);
      assert.equal(await actionFor(grant), action, `round ${round}`);
    }
  });

  it('reaches no other application’s grant', async () => {
    const { grant } = await save('kim@example.com');
    assert.equal(await deleteGrant(sql, app + 1000, grant.id), false);
    assert.equal((await resolveGrant(sql, app, grant.id)).state, 'valid');
  });
});

describe('listing grants', () => {
  const list: GrantList = { limit: 10, offset: 0, sortBy: 'created_at', orderBy: 'asc' };
  const emails = async (extra: Partial<GrantList>): Promise<readonly string[]> =>
    (await listGrants(sql, app, { ...list, ...extra })).map(({ email }) => email);

  beforeEach(async () => {
    for (const email of ['a@example.com', 'b@example.com', 'c@example.com', 'gone@example.com']) await save(email);
    const [a, gone] = await Promise.all([
      resolveGrant(sql, app, 'a@example.com'),
      resolveGrant(sql, app, 'gone@example.com'),
    ]);
    await expireGrant(sql, app, a.id);
    await deleteGrant(sql, app, gone.id);
  });

  it('pages by limit and offset in either order, without the deleted', async () => {
    assert.deepEqual(await emails({}), ['a@example.com', 'b@example.com', 'c@example.com']);
    assert.deepEqual(await emails({ orderBy: 'desc', limit: 2 }), ['c@example.com', 'b@example.com']);
    assert.deepEqual(await emails({ offset: 2 }), ['c@example.com']);
    assert.deepEqual(await emails({ sortBy: 'updated_at', orderBy: 'desc', limit: 1 }), ['a@example.com']);
  });

  it('filters by address, state, provider and time', async () => {
    assert.deepEqual(await emails({ email: 'B@example.com' }), ['b@example.com']);
    assert.deepEqual(await emails({ state: 'expired' }), ['a@example.com']);
    assert.deepEqual(await emails({ providers: ['imap'] }), ['a@example.com', 'b@example.com', 'c@example.com']);
    assert.deepEqual(await emails({ providers: [] }), []);
    const now = Math.floor(Date.now() / 1000);
    assert.equal((await emails({ since: now - 600, before: now + 600 })).length, 3);
    assert.deepEqual(await emails({ since: now + 600 }), []);
    assert.deepEqual(await emails({ before: now - 600 }), []);
  });
});

describe('a grant on the wire', () => {
  it('has what the SDKs need, and no null', async () => {
    const grant = await createPracticeGrant({ sql, vault }, app);
    const changed = await updateGrant(sql, app, grant.id, { scope: ['mail.send'] });
    assert.ok(changed);
    const wire = toWire(changed);
    assert.deepEqual(
      { ...wire, created_at: 0, updated_at: 0 },
      {
        id: grant.id,
        provider: 'imap',
        grant_status: 'valid',
        email: 'sender@practice.test',
        name: 'Practice Sender',
        settings: {},
        scope: ['mail.send'],
        created_at: 0,
        updated_at: 0,
      },
    );
    assert.ok(Number.isInteger(wire.created_at) && Math.abs(wire.created_at - Date.now() / 1000) < 60);
    assert.equal(toWire({ ...changed, state: 'expired' }).grant_status, 'invalid');
    assert.equal('name' in toWire({ ...changed, name: '' }), false);
  });
});

function credentials(key: string): Credentials {
  return { provider: 'practice', key };
}

async function save(email: string, key?: string): ReturnType<typeof saveGrant> {
  const secret = key === undefined ? {} : { credentials: credentials(key) };
  return await saveGrant({ sql, vault }, app, { provider: 'imap', email, ...secret });
}

async function actionFor(grant: Grant): Promise<string | undefined> {
  const table = await readStops(sql, -1);
  return table?.stops.find((stop) => stop.app === grant.app && stop.subject === String(grant.serial))?.action;
}

async function newApplication(): Promise<number> {
  const made = await createApplication(sql, { name: `app ${++names}`, environment: 'production' });
  assert.ok(made);
  return made.serial;
}

function isRefusal(status: number, type: string): (error: unknown) => boolean {
  return (error) => error instanceof ApiError && error.status === status && error.type === type;
}
