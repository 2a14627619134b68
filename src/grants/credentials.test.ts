import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import { transaction } from '../db/transaction.ts';
import { parseKeyring } from '../keyring.ts';
import type { ImapCredentials } from '../providers/provider.ts';
import { createApplication } from './applications.ts';
import { keepRenewed, openCredentials } from './credentials.ts';
import { deleteGrant, expireGrant, type Grant, saveGrant } from './grants.ts';
import { makeVault } from './vault.ts';

const SERVER = { host: 'mail.shop.test', port: 465, security: 'tls', user: 'nyla' } as const;
const vault = makeVault(parseKeyring('a secret long enough for tests'));

function credentials(refreshToken: string, changed: Partial<ImapCredentials> = {}): ImapCredentials {
  const accessToken = `access for ${refreshToken}`;
  const oauth = {
    tokenUrl: 'https://a.test',
    clientId: 'c',
    clientSecret: 's',
    refreshToken,
    accessToken,
    expiresAt: 1,
  };
  return { provider: 'imap', smtp: SERVER, imap: null, oauth, ...changed };
}

describe('what a refresh token was exchanged for', () => {
  let database: TestDatabase;
  let deps: { readonly sql: TestDatabase['sql']; readonly vault: typeof vault };
  let grant: Grant;
  const [R0, R1, R2] = [credentials('r0'), credentials('r1'), credentials('r2')];
  const save = async (kept: ImapCredentials): Promise<Grant> =>
    (await saveGrant(deps, grant.app, { provider: 'imap', email: 'nyla@shop.test', credentials: kept })).grant;
  const kept = (): ReturnType<typeof openCredentials> => openCredentials(deps, grant.app, grant.id);

  before(async () => {
    database = await testDatabase(migrate);
    deps = { sql: database.sql, vault };
    const made = await createApplication(deps.sql, { name: 'shop', environment: 'production' });
    assert.ok(made);
    const first = { provider: 'imap', email: 'nyla@shop.test', credentials: R0 } as const;
    ({ grant } = await saveGrant(deps, made.serial, first));
  });
  after(async () => await database.drop());
  beforeEach(async () => {
    grant = await save(R0);
  });

  it('is kept sealed, exchange after exchange, and may be kept twice', async () => {
    await keepRenewed(deps, grant.app, grant.id, R0, R1);
    assert.deepEqual(await kept(), R1);
    await keepRenewed(deps, grant.app, grant.id, R1, R2);
    await keepRenewed(deps, grant.app, grant.id, R0, R1);
    await keepRenewed(deps, grant.app, grant.id, R1, R2);
    assert.deepEqual(await kept(), R2);
    const [row] = await database.sql<{ credentials: Buffer }[]>`select credentials from grants where id = ${grant.id}`;
    assert.equal(row?.credentials.includes('r2'), false);
  });

  it('is kept also for a grant that expired or got other servers meanwhile', async () => {
    const moved = { ...R0, smtp: { ...SERVER, host: 'new.shop.test' } };
    await save(moved);
    await expireGrant(deps.sql, grant.app, grant.id);
    await keepRenewed(deps, grant.app, grant.id, R0, R1);
    assert.deepEqual(await kept(), { ...moved, oauth: R1.oauth });
  });

  it('does not replace what the grant was authenticated with meanwhile', async () => {
    const { oauth: _, ...byPassword } = { ...R0, smtp: { ...SERVER, password: 'p' } };
    for (const others of [credentials('of another sign-in'), byPassword]) {
      await save(others);
      await keepRenewed(deps, grant.app, grant.id, R0, R1);
      assert.deepEqual(await kept(), others);
    }
  });

  it('waits for a change that goes on', async () => {
    let going: Promise<void> | null = null;
    await transaction(deps.sql, async (tx) => {
      await tx`select from grants where id = ${grant.id} for update`;
      going = keepRenewed(deps, grant.app, grant.id, R0, R1);
      await saveCredentialsOf(tx);
    });
    await going;
    assert.deepEqual(await kept(), R2);

    async function saveCredentialsOf(tx: Parameters<Parameters<typeof transaction>[1]>[0]): Promise<void> {
      const sealed = vault.seal(JSON.stringify(R2), `grant:${grant.id}`);
      await tx`update grants set credentials = ${sealed} where id = ${grant.id}`;
    }
  });

  it('belongs to one application, and to no grant that was deleted', async () => {
    await keepRenewed(deps, grant.app + 1, grant.id, R0, R1);
    assert.deepEqual(await kept(), R0);
    const { app, id } = grant;
    await deleteGrant(deps.sql, app, id);
    await keepRenewed(deps, app, id, R0, R1);
    const [row] = await database.sql<{ credentials: Buffer | null }[]>`select credentials from grants where id = ${id}`;
    assert.equal(row?.credentials, null);
    assert.equal(await openCredentials(deps, app, id), null);
  });
});
