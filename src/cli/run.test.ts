import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { throwAwayFolder } from '../../test/support/postgres.ts';
import { type Embedded, startEmbedded } from '../db/embedded.ts';
import { connect, type Sql } from '../db/pool.ts';
import { makeAuthenticator } from '../grants/keys.ts';
import { useSignInToken } from '../grants/sign-in.ts';
import { makeLog } from '../log.ts';
import { runCommand } from './run.ts';

const SECRET = 'a secret long enough for tests';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let dataDir: string;
let embedded: Embedded;
let sql: Sql;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function telltale(...args: string[]): Promise<Ran> {
  return await telltaleWith({ TELLTALE_DATA_DIR: dataDir, TELLTALE_SECRET: SECRET }, args);
}

async function telltaleWith(env: Record<string, string>, args: readonly string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await runCommand({
    args,
    env,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
  });
  return { code, out, err };
}

/** The JSON that a successful command prints. */
async function json(...args: string[]): Promise<unknown> {
  const { code, out, err } = await telltale(...args, '--json');
  assert.equal(code, 0, err);
  assert.equal(err, '');
  return JSON.parse(out);
}

function field(value: unknown, name: string): unknown {
  return Reflect.get(Object(value), name);
}

describe('the telltale command', () => {
  before(async () => {
    dataDir = await throwAwayFolder();
    // No service runs yet: this one starts the server itself and stops it again.
    const made = await json('app', 'create', 'Early');
    assert.match(String(field(made, 'id')), UUID);
    embedded = await startEmbedded({ dataDir, log: makeLog('error') });
    sql = connect(embedded.connection);
  });
  after(async () => {
    await sql.end();
    await embedded.stop();
  });

  it('shows the mailboxes that are watched, and has one read anew', async () => {
    assert.match((await telltale('mailbox', 'list')).out, /^No mailbox is watched/);
    const made = await json('app', 'create', 'Watching');
    const id = String(field(made, 'grant_id'));
    assert.match((await telltale('mailbox', 'reread', id)).err, /is not watched/);
    assert.match((await telltale('mailbox', 'reread', 'nobody@example.test')).err, /no grant/);
    const [row] = await sql<{ app: number }[]>`select app from grants where id = ${id}`;
    await sql`insert into open_mailboxes (app, grant_id, active_at) values (${row?.app ?? 0}, ${id}, now())`;
    await sql`insert into watches (app, grant_id, cursor) values (${row?.app ?? 0}, ${id}, '{"at": 1}')`;
    const [mailbox] = [await json('mailbox', 'list')].flat();
    assert.deepEqual([field(mailbox, 'grant_id'), field(mailbox, 'state')], [id, 'waiting']);
    assert.match((await telltale('mailbox', 'reread', id)).out, /read anew/);
    const rows = await sql`select cursor, epoch::integer from watches`;
    assert.deepEqual([...rows], [{ cursor: null, epoch: 1 }]);
    await sql`delete from open_mailboxes`;
    await sql`delete from watches`;
  });

  it('makes an application with a working key and a practice mailbox', async () => {
    const made = await json('app', 'create', 'Shop', '--sandbox');
    assert.deepEqual(Object.keys(Object(made)), ['id', 'name', 'environment', 'api_key', 'grant_id']);
    assert.equal(field(made, 'environment'), 'sandbox');
    const holder = await makeAuthenticator({ sql })(String(field(made, 'api_key')));
    assert.equal(holder?.applicationId, field(made, 'id'));
    const grants = await json('grant', 'list', 'Shop');
    assert.deepEqual(
      [grants].flat().map((grant) => [field(grant, 'id'), field(grant, 'email')]),
      [[field(made, 'grant_id'), 'sender@practice.test']],
    );
  });

  it('refuses a second application of that name', async () => {
    const { code, out, err } = await telltale('app', 'create', 'Early', '--json');
    assert.deepEqual({ code, out, err }, { code: 1, out: '', err: 'There is an application "Early" already.\n' });
    assert.equal((await telltale('app', 'create', ' x')).code, 1);
  });

  it('makes an application whole or not at all', async () => {
    await sql`alter table api_keys add constraint none_more check (false) not valid`;
    assert.equal((await telltale('app', 'create', 'Half')).code, 1);
    await sql`alter table api_keys drop constraint none_more`;
    assert.doesNotMatch((await telltale('app', 'list')).out, /Half/);
    await json('app', 'create', 'Half');
  });

  it('will not seal with a secret that is not the database’s', async () => {
    const env = { TELLTALE_DATA_DIR: dataDir, TELLTALE_SECRET: 'another secret long enough too' };
    const { code, err } = await telltaleWith(env, ['app', 'create', 'Wrong']);
    assert.equal(code, 1);
    assert.match(err, /key 1 is not the one this database was used with/);
    const { err: missing } = await telltaleWith({ TELLTALE_DATA_DIR: dataDir }, ['app', 'create', 'Wrong']);
    assert.match(missing, /secret: is missing, but the database beside it/);
  });

  it('lists and upgrades applications', async () => {
    await json('app', 'create', 'Trial', '--sandbox');
    await json('app', 'upgrade', 'Trial');
    const trial = [await json('app', 'list')].flat().find((application) => field(application, 'name') === 'Trial');
    assert.equal(field(trial, 'environment'), 'production');
    assert.match((await telltale('app', 'upgrade', 'Trial')).out, /was a production application already/);
    assert.match((await telltale('app', 'list')).out, /^ID +NAME +ENVIRONMENT +MADE\n/);
    assert.equal((await telltale('app', 'upgrade', 'Nobody')).err, 'There is no application "Nobody".\n');
  });

  it('changes settings, all or none', async () => {
    const changed = await json('app', 'set', 'Early', 'open_dedupe_seconds=60', 'link_schemes=https,http');
    assert.equal(field(field(changed, 'tracking_settings'), 'open_dedupe_seconds'), 60);
    const refused = await telltale('app', 'set', 'Early', 'open_dedupe_seconds=61', 'colour=red');
    assert.equal(refused.code, 1);
    assert.equal(refused.err, 'tracking_settings.colour is not a known setting\n');
    const { out } = await telltale('app', 'set', 'Early');
    assert.match(out, /^open_dedupe_seconds +60$/m);
    assert.match(out, /^link_schemes +https,http$/m);
    assert.match(out, /^secret_parameters +-$/m);
  });

  it('makes, lists and revokes keys', async () => {
    const made = await json('key', 'create', 'Early');
    const id = String(field(made, 'id'));
    const listed = [await json('key', 'list', 'Early')].flat().find((key) => field(key, 'id') === id);
    assert.equal(field(listed, 'hint'), String(field(made, 'api_key')).slice(-4));
    assert.ok(!(await telltale('key', 'list')).out.includes(String(field(made, 'api_key'))));
    assert.deepEqual(await json('key', 'revoke', id), { id, revoked: true });
    assert.equal(await makeAuthenticator({ sql })(String(field(made, 'api_key'))), null);
    assert.match((await telltale('key', 'revoke', id)).out, /already/);
    assert.equal((await telltale('key', 'revoke', 'x')).code, 1);
  });

  it('deletes a grant by id, and by an address only where that names one', async () => {
    const grants = [await json('grant', 'list', 'Early')].flat();
    const id = String(field(grants[0], 'id'));
    assert.match((await telltale('grant', 'delete', 'sender@practice.test')).err, /name it by its id/);
    assert.deepEqual(await json('grant', 'delete', id), { id, deleted: true });
    assert.equal((await telltale('grant', 'delete', id)).code, 1);
    assert.equal((await telltale('grant', 'list', 'Early')).out, 'There are no grants yet.\n');
  });

  it('prints a fresh sign-in address', async () => {
    const url = new URL(String(field(await json('sign-in'), 'url')));
    assert.equal(url.origin + url.pathname, 'http://localhost:8080/sign-in');
    assert.equal(await useSignInToken(sql, url.searchParams.get('token') ?? ''), true);
    assert.match((await telltale('sign-in')).out, /^http:\/\/localhost:8080\/sign-in\?token=[\w-]{43}\n$/);
  });

  it('tells wrong command lines from failures', async () => {
    const wrong = [
      [],
      ['app'],
      ['app', 'create'],
      ['app', 'list', 'x'],
      ['bogus'],
      ['--bogus'],
      ['app', 'set', 'Early', 'x'],
      ['key', 'list', '--sandbox'],
    ];
    for (const args of wrong) assert.equal((await telltale(...args)).code, 2, args.join(' '));
    assert.match(
      (await telltale('app', 'create')).err,
      /^Something is missing .*\nUsage: app create NAME \[--sandbox\]\n/,
    );
    const help = await telltale('--help');
    assert.equal(help.code, 0);
    for (const command of ['app create', 'key revoke', 'grant delete', 'sign-in'])
      assert.ok(help.out.includes(command));
  });

  it('tells what is wrong with the settings, and with the database', async () => {
    const badSetting = await telltaleWith({ PORT: 'x' }, ['app', 'list']);
    assert.equal(badSetting.code, 1);
    assert.match(badSetting.err, /^PORT: /);
    const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing', TELLTALE_SECRET: SECRET };
    const noServer = await telltaleWith(env, ['app', 'list']);
    assert.equal(noServer.code, 1);
    assert.match(noServer.err, /^The database cannot be reached/);
  });
});
