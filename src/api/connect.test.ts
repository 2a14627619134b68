import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Called, type Sender, startSender } from '../../test/support/sender.ts';
import { openCredentials } from '../grants/credentials.ts';
import { expireGrant, findGrant } from '../grants/grants.ts';
import type { CheckOutcome, ImapCredentials, Provider } from '../providers/provider.ts';

const SETTINGS = {
  imap_username: 'nyla@shop.test',
  imap_password: 'correct horse',
  imap_host: 'imap.shop.test',
  imap_port: 993,
  smtp_host: 'smtp.shop.test',
  smtp_port: 465,
};

let sender: Sender;
let checked: ImapCredentials[] = [];
let outcome: CheckOutcome = { kind: 'works' };
/** What trying the credentials makes of them. */
let renewed: ImapCredentials | null = null;
let facts = 0;
/** Happens while the credentials are tried. */
let during = async (): Promise<void> => {};

before(async () => {
  sender = await startSender((deps) => {
    const imap: Provider<ImapCredentials> = {
      ...deps.providers.imap,
      check: async (_account, { credentials, keep }) => {
        checked.push(credentials);
        await during();
        if (renewed !== null) await keep(credentials, renewed);
        return outcome;
      },
    };
    return { ...deps, providers: { ...deps.providers, imap }, onFacts: () => void facts++ };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  checked = [];
  outcome = { kind: 'works' };
  renewed = null;
  facts = 0;
  during = async () => {};
  await sender.database.sql`delete from grants where provider = 'imap'`;
  await sender.database.sql`delete from outbox`;
});

function connect(settings: object = SETTINGS, rest: object = {}): Promise<Called> {
  return sender.call('POST', '/v3/connect/custom', { provider: 'imap', settings, ...rest });
}

async function stored(): Promise<number> {
  return (await sender.database.sql`select from grants where provider = 'imap'`).length;
}

describe('POST /v3/connect/custom', () => {
  it('tries the credentials, keeps them sealed and answers 201 with the grant', async () => {
    const answer = await connect(SETTINGS, { name: 'Nyla', state: 'mine', scope: ['mail'] });
    assert.equal(answer.status, 201, answer.text);
    assert.equal(checked.length, 1);
    assert.deepEqual(
      [answer.at('data.provider'), answer.at('data.email'), answer.at('data.grant_status'), answer.at('data.name')],
      ['imap', 'nyla@shop.test', 'valid', 'Nyla'],
    );
    assert.deepEqual(
      [answer.at('data.state'), answer.at('data.scope'), answer.at('warnings')],
      ['mine', ['mail'], undefined],
    );
    assert.doesNotMatch(answer.text, /correct horse/);
    const grant = await findGrant(sender.database.sql, sender.grant.app, String(answer.at('data.id')));
    assert.ok(grant);
    assert.deepEqual(await openCredentials(sender.deps, grant.app, grant.id), checked[0]);
    const [row] = await sender.database.sql<{ credentials: Buffer }[]>`
      select credentials from grants where id = ${grant.id}`;
    assert.equal(row?.credentials.includes('correct horse'), false);
    assert.equal(facts, 1);
  });

  it('keeps the credentials as trying them renewed them', async () => {
    const server = { host: 'h', port: 1, security: 'tls', user: 'u', password: 'renewed' } as const;
    renewed = { provider: 'imap', smtp: server, imap: null };
    const answer = await connect();
    const grant = await findGrant(sender.database.sql, sender.grant.app, String(answer.at('data.id')));
    assert.ok(grant);
    assert.deepEqual(await openCredentials(sender.deps, grant.app, grant.id), renewed);
  });

  it('authenticates the grant of the address again and keeps its id (D13)', async () => {
    const first = await connect();
    const id = String(first.at('data.id'));
    const grant = await findGrant(sender.database.sql, sender.grant.app, id);
    assert.ok(grant);
    await expireGrant(sender.database.sql, grant.app, grant.id);
    const again = await connect({ ...SETTINGS, imap_username: 'Nyla@Shop.test', imap_password: 'new' });
    assert.deepEqual([again.status, again.at('data.id'), again.at('data.grant_status')], [201, id, 'valid']);
    assert.equal(await stored(), 1);
    const told = await sender.database.sql<{ trigger: string }[]>`select trigger from outbox order by position`;
    assert.deepEqual(
      told.map(({ trigger }) => trigger),
      ['grant.created', 'grant.expired', 'grant.updated'],
    );
  });

  it('says that replies are off where the grant can only send', async () => {
    const { imap_host: _, imap_port: __, ...settings } = SETTINGS;
    const answer = await connect(settings);
    assert.equal(answer.status, 201);
    assert.equal(answer.at('warnings.0.type'), 'grant.send_only');
    assert.match(String(answer.at('warnings.0.message')), /replies are off/);
    assert.equal(answer.at('data.settings.send_only'), true);
    assert.equal(checked[0]?.imap, null);
  });

  const refused: readonly (readonly [CheckOutcome, string, RegExp])[] = [
    [
      { kind: 'problems', problems: [{ at: 'imap', kind: 'unauthorised', reason: 'Authentication failed.' }] },
      'grant.invalid_authentication',
      /^settings\.imap_password: imap\.shop\.test:993 refused the login of "nyla@shop\.test": Authentication failed\.$/,
    ],
    [
      { kind: 'problems', problems: [{ at: 'smtp', kind: 'unauthorised', reason: '535 5.7.8' }] },
      'grant.invalid_authentication',
      /^settings\.imap_password: smtp\.shop\.test:465 refused the login/,
    ],
    [
      { kind: 'problems', problems: [{ at: 'smtp', kind: 'unreachable', reason: 'nothing listens there' }] },
      'api.invalid_request_error',
      /^settings\.smtp_host: smtp\.shop\.test:465 cannot be used: nothing listens there$/,
    ],
    [
      {
        kind: 'problems',
        problems: [
          { at: 'imap', kind: 'blocked', reason: 'imap.shop.test leads to a private address' },
          { at: 'smtp', kind: 'unauthorised', reason: 'no' },
        ],
      },
      'api.invalid_request_error',
      /^settings\.imap_host: .* private address; settings\.imap_password: smtp\.shop\.test:465 refused/,
    ],
    [
      { kind: 'problems', problems: [{ at: 'oauth', kind: 'unauthorised', reason: 'invalid_grant' }] },
      'grant.invalid_authentication',
      /^settings\.oauth: invalid_grant$/,
    ],
  ];
  for (const [checks, type, message] of refused) {
    const name = checks.kind === 'problems' ? checks.problems.map(({ at, kind }) => `${at} ${kind}`).join(', ') : '';
    it(`names what did not work and stores nothing: ${name}`, async () => {
      outcome = checks;
      const answer = await connect();
      assert.deepEqual([answer.status, answer.at('error.type')], [400, type], answer.text);
      assert.match(String(answer.at('error.message')), message);
      assert.doesNotMatch(answer.text, /correct horse/);
      assert.equal(typeof answer.at('error.provider_error.problems.0.field'), 'string');
      assert.deepEqual([await stored(), facts], [0, 0]);
    });
  }

  it('leaves a grant that works as it is when new credentials do not', async () => {
    const id = String((await connect()).at('data.id'));
    outcome = { kind: 'problems', problems: [{ at: 'imap', kind: 'unauthorised', reason: 'no' }] };
    assert.equal((await connect({ ...SETTINGS, imap_password: 'wrong' })).status, 400);
    const grant = await findGrant(sender.database.sql, sender.grant.app, id);
    assert.ok(grant);
    assert.equal(grant.state, 'valid');
    const kept = await openCredentials(sender.deps, grant.app, grant.id);
    assert.equal(kept?.provider === 'imap' && kept.smtp.password, 'correct horse');
  });

  const bad: readonly (readonly [body: unknown, told: RegExp])[] = [
    [{ provider: 'google', settings: { refresh_token: 'x' } }, /^provider must be imap/],
    [{ provider: 'imap' }, /settings/],
    [{ provider: 'imap', settings: [] }, /settings/],
    [{ provider: 'imap', settings: {} }, /^settings\.imap_username is required$/],
    [{ provider: 'imap', settings: SETTINGS, name: 'a\nb' }, /^name must not contain/],
    [{ settings: SETTINGS }, /provider/],
  ];
  for (const [body, told] of bad) {
    it(`refuses ${JSON.stringify(body).slice(0, 60)} before any server is asked`, async () => {
      const answer = await sender.call('POST', '/v3/connect/custom', body);
      assert.deepEqual([answer.status, answer.at('error.type')], [400, 'api.invalid_request_error'], answer.text);
      assert.match(String(answer.at('error.message')), told);
      assert.equal(checked.length, 0);
    });
  }
});

describe('the address of a practice mailbox', () => {
  it('is not taken by a real one', async () => {
    const answer = await connect({ ...SETTINGS, email: 'sender@practice.test' });
    assert.equal(answer.status, 400);
    assert.match(String(answer.at('error.message')), /^settings\.email must not be sender@practice\.test/);
    assert.equal(checked.length, 0);
  });
});

describe('PATCH /v3/grants with settings', () => {
  it('tries them like a new connection and keeps scope and name', async () => {
    const id = String((await connect(SETTINGS, { name: 'Nyla', scope: ['mail'] })).at('data.id'));
    const settings = { ...SETTINGS, imap_password: 'changed' };
    const answer = await sender.call('PATCH', `/v3/grants/${id}`, { settings });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual([answer.at('data.id'), answer.at('data.name'), answer.at('data.scope')], [id, 'Nyla', ['mail']]);
    assert.equal(checked.at(-1)?.smtp.password, 'changed');
  });

  it('replaces the folders that are watched, and the other addresses where any are named', async () => {
    const named = { ...SETTINGS, email_aliases: ['Sales@shop.test'], watch_folders: ['Projects'] };
    const made = await connect(named);
    assert.deepEqual(made.at('data.email_aliases'), ['sales@shop.test']);
    assert.deepEqual(made.at('data.settings.watch_folders'), ['Projects']);
    const id = String(made.at('data.id'));
    const patch = async (change: object) =>
      (await sender.call('PATCH', `/v3/grants/${id}`, { settings: { ...SETTINGS, ...change } })).at('data');
    const shown = async (change: object) => {
      const data = await patch(change);
      assert.ok(typeof data === 'object' && data !== null);
      return [Reflect.get(data, 'email_aliases'), Reflect.get(Reflect.get(data, 'settings'), 'watch_folders')];
    };
    assert.deepEqual(await shown({}), [['sales@shop.test'], undefined]);
    assert.deepEqual(await shown({ email_aliases: ['info@shop.test'], watch_folders: ['*'] }), [
      ['info@shop.test'],
      ['*'],
    ]);
    assert.deepEqual(await shown({ email_aliases: [] }), [undefined, undefined]);
    const wrong = await sender.call('PATCH', `/v3/grants/${id}`, { settings: { ...SETTINGS, email_aliases: ['x'] } });
    assert.equal(wrong.status, 400);
    assert.match(String(wrong.at('error.message')), /^settings\.email_aliases must be addresses/);
  });

  it('does not bring back a grant that is deleted while they are tried', async () => {
    const id = String((await connect()).at('data.id'));
    during = async () => {
      assert.equal((await sender.call('DELETE', `/v3/grants/${id}`)).status, 200);
    };
    const answer = await sender.call('PATCH', `/v3/grants/${id}`, { settings: SETTINGS });
    assert.deepEqual([answer.status, answer.at('error.type')], [404, 'grant.not_found'], answer.text);
    const left = await sender.database.sql`select from grants where provider = 'imap' and state <> 'deleted'`;
    assert.equal(left.length, 0);
  });

  it('leaves the grant the refresh token that came of trying them, also where the rest does not work', async () => {
    const oauth = { token_url: 'https://login.test/token', client_id: 'c', refresh_token: 'R1' };
    const { imap_password: _, ...servers } = SETTINGS;
    const settings = { ...servers, oauth };
    const id = String((await connect(settings)).at('data.id'));
    const before = checked.at(-1);
    assert.ok(before?.oauth);
    renewed = { ...before, oauth: { ...before.oauth, refreshToken: 'R2', accessToken: 'A2' } };
    outcome = { kind: 'problems', problems: [{ at: 'smtp', kind: 'unreachable', reason: 'gone' }] };
    assert.equal((await sender.call('PATCH', `/v3/grants/${id}`, { settings })).status, 400);
    const grant = await findGrant(sender.database.sql, sender.grant.app, id);
    assert.ok(grant);
    const kept = await openCredentials(sender.deps, grant.app, grant.id);
    assert.equal(kept?.provider === 'imap' && kept.oauth?.refreshToken, 'R2');
  });

  it('refuses what does not work, and another address', async () => {
    const id = String((await connect()).at('data.id'));
    const other = await sender.call('PATCH', `/v3/grants/${id}`, {
      settings: { ...SETTINGS, imap_username: 'kim@shop.test' },
    });
    assert.equal(other.status, 400);
    assert.match(String(other.at('error.message')), /^settings\.imap_username must belong to nyla@shop\.test/);
    outcome = { kind: 'problems', problems: [{ at: 'smtp', kind: 'unauthorised', reason: 'no' }] };
    const wrong = await sender.call('PATCH', `/v3/grants/${id}`, { settings: SETTINGS });
    assert.equal(wrong.at('error.type'), 'grant.invalid_authentication');
  });
});
