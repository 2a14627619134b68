import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type BareMail, startBareMail } from '../../test/support/bare-mail.ts';
import { soon } from '../../test/support/bare-provider.ts';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { sample } from '../../test/support/provider-contract.ts';
import { type TestProviders, testProviders } from '../../test/support/providers.ts';
import { startTokenEndpoint, type TokenEndpoint } from '../../test/support/token-endpoint.ts';
import { migrate } from '../db/migrate.ts';
import { parseKeyring } from '../keyring.ts';
import { makeLog } from '../log.ts';
import type { ImapCredentials } from '../providers/provider.ts';
import { createApplication } from './applications.ts';
import { openCredentials } from './credentials.ts';
import { type GrantMailbox, type GrantMailboxDeps, openMailbox } from './grant-mailbox.ts';
import { findGrant, type Grant, saveGrant } from './grants.ts';
import { makeVault } from './vault.ts';

const vault = makeVault(parseKeyring('a secret long enough for tests'));

describe('the mailbox of a grant whose refresh token is good for one exchange', () => {
  let database: TestDatabase;
  let mail: BareMail;
  let endpoint: TokenEndpoint;
  let grant: Grant;
  let app: number;
  let processes: readonly [Process, Process];
  let facts = 0;

  interface Process {
    readonly deps: GrantMailboxDeps;
    readonly made: TestProviders;
  }

  before(async () => {
    database = await testDatabase(migrate);
    mail = await startBareMail();
    endpoint = await startTokenEndpoint({ rotates: true });
    const application = await createApplication(database.sql, { name: 'shop', environment: 'production' });
    assert.ok(application);
    app = application.serial;
    processes = [start(), start()];
  });
  beforeEach(async () => {
    facts = 0;
    endpoint.onToken = (accessToken) => mail.change({ accessToken });
    await save(mail.withOAuth(endpoint.login()));
  });
  afterEach(() => {
    endpoint.answer = null;
    mail.cut();
  });
  after(async () => {
    for (const { made } of processes) await made.close();
    await endpoint.close();
    await mail.close();
    await database.drop();
  });

  function start(): Process {
    const { sql } = database;
    const made = testProviders({ sql, vault });
    const log = makeLog('silent');
    return { made, deps: { sql, vault, log, providers: made.providers, onFacts: () => void facts++ } };
  }

  async function save(credentials: ImapCredentials): Promise<void> {
    ({ grant } = await saveGrant({ sql: database.sql, vault }, app, {
      provider: 'imap',
      email: mail.user,
      credentials,
    }));
  }

  async function open({ deps }: Process): Promise<GrantMailbox> {
    const mailbox = await openMailbox(deps, grant);
    assert.ok(mailbox);
    return mailbox;
  }

  const send = (mailbox: GrantMailbox): ReturnType<GrantMailbox['send']> =>
    mailbox.send(sample({ app, grantId: grant.id, email: mail.user }), soon());
  const kept = async (): Promise<string | undefined> => {
    const credentials = await openCredentials({ sql: database.sql, vault }, app, grant.id);
    return credentials?.provider === 'imap' ? credentials.oauth?.refreshToken : undefined;
  };
  const state = async (): Promise<string | undefined> => (await findGrant(database.sql, app, grant.id))?.state;

  it('sends from two processes that began with the same one', async () => {
    const [first, second] = [await open(processes[0]), await open(processes[1])];
    const outcomes = await Promise.all([send(first), send(second)]);
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ['sent', 'sent'],
    );
    assert.equal(await kept(), endpoint.login().refreshToken);
    assert.deepEqual([await state(), facts], ['valid', 0]);
  });

  it('keeps every exchange of calls that began with the same one', async () => {
    const [first, second] = [await open(processes[0]), await open(processes[0])];
    assert.equal((await send(first)).kind, 'sent');
    mail.change({ accessToken: 'another' });
    mail.cut();
    assert.equal((await send(second)).kind, 'sent');
    assert.equal(await kept(), endpoint.login().refreshToken);
    assert.equal((await send(await open(processes[1]))).kind, 'sent');
  });

  it('ends the grant where the tokens that it led to are refused as well', async () => {
    endpoint.onToken = () => {};
    const mailbox = await open(processes[0]);
    assert.equal((await send(mailbox)).kind, 'unauthorised');
    assert.equal(await kept(), endpoint.login().refreshToken);
    assert.equal(await mailbox.expire(), true);
    assert.deepEqual([await state(), facts], ['expired', 1]);
  });

  it('ends the grant where the refresh token is refused and nobody has another', async () => {
    await save(mail.withOAuth({ ...endpoint.login(), refreshToken: 'revoked' }));
    const mailbox = await open(processes[0]);
    assert.equal((await send(mailbox)).kind, 'unauthorised');
    assert.equal(await mailbox.expire(), true);
    assert.equal(await state(), 'expired');
  });

  it('leaves a grant that was authenticated again while the refusal was on its way', async () => {
    endpoint.onToken = () => {};
    const mailbox = await open(processes[0]);
    assert.equal((await send(mailbox)).kind, 'unauthorised');
    await save(mail.credentials);
    assert.equal(await mailbox.expire(), false);
    assert.deepEqual([await state(), facts], ['valid', 0]);
  });

  it('expires nothing for a page of a firewall', async () => {
    endpoint.answer = (response) => response.writeHead(403).end('<html>Forbidden</html>');
    assert.equal((await send(await open(processes[0]))).kind, 'unreachable');
  });
});
