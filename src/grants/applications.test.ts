import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { connect, type Sql } from '../db/pool.ts';
import { putStop, readStops } from '../db/stops.ts';
import {
  createApplication,
  findApplication,
  firstApplication,
  getApplication,
  listApplications,
  nameProblem,
  updateApplication,
  upgradeApplication,
} from './applications.ts';
import { DEFAULT_SETTINGS, parseSettings } from './settings.ts';

let database: TestDatabase;
let sql: Sql;

before(async () => {
  database = await testDatabase(migrate);
  sql = database.sql;
});
after(async () => await database.drop());

describe('applications', () => {
  it('begins with one for production, made once however many processes start together', async () => {
    const pools = Array.from({ length: 6 }, () => connect(database.connection, { max: 1 }));
    const starts = await Promise.all(pools.map((pool) => firstApplication(pool)));
    await Promise.all(pools.map((pool) => pool.end()));
    assert.equal(new Set(starts.map(({ application }) => application.id)).size, 1);
    assert.equal(starts.filter(({ created }) => created).length, 1);
    assert.equal(starts[0]?.application.environment, 'production');
    assert.equal((await listApplications(sql)).length, 1);
    assert.equal((await firstApplication(sql)).created, false);
  });

  it('keeps names unique', async () => {
    const made = await createApplication(sql, { name: 'Shop', environment: 'sandbox' });
    assert.ok(made);
    assert.deepEqual(made.settings, DEFAULT_SETTINGS);
    assert.equal(await createApplication(sql, { name: 'Shop', environment: 'production' }), null);
    assert.deepEqual(await getApplication(sql, made.serial), made);
  });

  it('is found by name or id, and not otherwise', async () => {
    const made = await createApplication(sql, { name: 'Found', environment: 'sandbox' });
    assert.deepEqual(await findApplication(sql, 'Found'), made);
    assert.deepEqual(await findApplication(sql, String(made?.id).toUpperCase()), made);
    assert.equal(await findApplication(sql, 'found'), null);
    assert.equal(await findApplication(sql, ''), null);
    assert.equal(await getApplication(sql, 9999), null);
  });

  it('merges changed settings into the stored ones, which hold wire names for readers in SQL', async () => {
    const { serial } = await application('Merging');
    await updateApplication(sql, serial, { settings: parseSettings({ open_dedupe_seconds: 60 }) });
    await updateApplication(sql, serial, { settings: parseSettings({ link_schemes: ['https', 'http'] }) });
    const [row] = await sql`
      select settings, settings->>'open_dedupe_seconds' as seconds from applications where serial = ${serial}`;
    assert.deepEqual(row?.settings, { open_dedupe_seconds: 60, link_schemes: ['https', 'http'] });
    assert.equal(row?.seconds, '60');
    const changed = await updateApplication(sql, serial, { settings: parseSettings({ open_dedupe_seconds: 0 }) });
    assert.ok(typeof changed === 'object');
    assert.deepEqual(changed.settings, { ...DEFAULT_SETTINGS, linkSchemes: ['https', 'http'] });
  });

  it('loses no setting when several are changed at once', async () => {
    const { serial } = await application('Racing');
    const patches = [
      { open_dedupe_seconds: 5 },
      { reply_watch_days: 5 },
      { click_settle_ms: 5 },
      { retry_schedule: 'nylas' },
    ];
    await Promise.all(patches.map((patch) => updateApplication(sql, serial, { settings: parseSettings(patch) })));
    assert.deepEqual((await getApplication(sql, serial))?.settings, {
      ...DEFAULT_SETTINGS,
      openDedupeSeconds: 5,
      replyWatchDays: 5,
      clickSettleMs: 5,
      retrySchedule: 'nylas',
    });
  });

  it('gives the stops of grants deleted before the new action, and nobody else’s', async () => {
    const mine = await application('Forwarding');
    const other = await application('Stopping');
    await sql.begin(async (tx) => {
      await putStop(tx, { app: mine.serial, kind: 'grant', subject: '7', action: 'stop' });
      await putStop(tx, { app: mine.serial, kind: 'message', subject: 'm', action: 'stop' });
      await putStop(tx, { app: other.serial, kind: 'grant', subject: '8', action: 'stop' });
    });
    const known = (await readStops(sql, -1))?.version ?? 0;
    await updateApplication(sql, mine.serial, { settings: parseSettings({ deleted_grant_links: 'forward' }) });
    const table = await readStops(sql, known);
    assert.deepEqual(
      table?.stops.filter(({ action }) => action === 'forward').map(({ app, subject }) => [app, subject]),
      [[mine.serial, '7']],
    );
    await updateApplication(sql, mine.serial, { settings: parseSettings({ click_settle_ms: 1 }) });
    assert.equal(await readStops(sql, table?.version ?? 0), null);
  });

  it('calls itself as it likes, also like another, and stays what the operator calls it', async () => {
    const { serial } = await application('Before');
    await application('Taken');
    const renamed = await updateApplication(sql, serial, {
      profile: { name: 'Taken', branding: { description: 'x' } },
    });
    assert.ok(typeof renamed === 'object');
    assert.equal(renamed.name, 'Before');
    assert.deepEqual(renamed.profile, { name: 'Taken', branding: { description: 'x' }, hostedAuthentication: null });
    const looks = { hostedAuthentication: { title: 'x', spacing: 5 } };
    await updateApplication(sql, serial, { profile: looks });
    assert.deepEqual((await findApplication(sql, 'Before'))?.profile, { ...renamed.profile, ...looks });
    assert.equal(await updateApplication(sql, 9999, { profile: looks }), 'unknown');
  });

  it('is upgraded once', async () => {
    const { serial } = await application('Trial');
    assert.equal(await upgradeApplication(sql, serial), true);
    assert.equal(await upgradeApplication(sql, serial), false);
    assert.equal((await getApplication(sql, serial))?.environment, 'production');
  });

  it('explains what is wrong with a name', () => {
    assert.equal(nameProblem('Größe 1'), null);
    for (const name of ['', ' x', 'x ', 'a\nb', 'x'.repeat(101)]) assert.ok(nameProblem(name), JSON.stringify(name));
  });
});

async function application(name: string): Promise<{ readonly serial: number }> {
  const made = await createApplication(sql, { name, environment: 'sandbox' });
  assert.ok(made);
  return made;
}
