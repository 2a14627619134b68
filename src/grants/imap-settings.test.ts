import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loginField, readImapSettings } from './imap-settings.ts';

const FULL = {
  imap_username: 'nyla@shop.test',
  imap_password: ' with spaces ',
  imap_host: 'imap.shop.test',
  imap_port: 1143,
  smtp_host: 'smtp.shop.test',
  smtp_port: 465,
};

function refusal(change: object, without: readonly string[] = []): string {
  const given = Object.fromEntries(Object.entries({ ...FULL, ...change }).filter(([name]) => !without.includes(name)));
  try {
    readImapSettings(given);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'accepted';
}

describe('the settings of an IMAP grant', () => {
  it('become credentials for both servers, and what may be shown', () => {
    const { email, credentials, shown } = readImapSettings(FULL);
    assert.equal(email, 'nyla@shop.test');
    const login = { user: 'nyla@shop.test', password: ' with spaces ' };
    assert.deepEqual(credentials, {
      provider: 'imap',
      smtp: { host: 'smtp.shop.test', port: 465, security: 'tls', ...login },
      imap: { host: 'imap.shop.test', port: 1143, security: 'starttls', ...login },
    });
    assert.deepEqual(shown, {
      imap_host: 'imap.shop.test',
      imap_port: 1143,
      imap_security: 'starttls',
      imap_username: 'nyla@shop.test',
      smtp_host: 'smtp.shop.test',
      smtp_port: 465,
      smtp_security: 'tls',
      smtp_username: 'nyla@shop.test',
    });
  });

  it('take another login for sending', () => {
    const { credentials } = readImapSettings({ ...FULL, smtp_username: 'relay', smtp_password: 'other' });
    assert.deepEqual([credentials.smtp.user, credentials.smtp.password], ['relay', 'other']);
    assert.deepEqual([credentials.imap?.user, credentials.imap?.password], ['nyla@shop.test', ' with spaces ']);
  });

  it('need no servers for a large provider', () => {
    const { credentials } = readImapSettings({ imap_username: 'Someone@GMail.com', imap_password: 'app password' });
    assert.deepEqual([credentials.imap?.host, credentials.imap?.port], ['imap.gmail.com', 993]);
    assert.deepEqual([credentials.smtp.host, credentials.smtp.port], ['smtp.gmail.com', 465]);
  });

  it('without imap_host make a grant that can only send', () => {
    const { imap_host: _, imap_port: __, ...given } = FULL;
    const { credentials, shown } = readImapSettings(given);
    assert.equal(credentials.imap, null);
    assert.equal(shown.send_only, true);
    assert.equal('imap_host' in shown, false);
    const gmail = readImapSettings({ ...given, imap_username: 'someone@gmail.com', smtp_host: 'smtp.gmail.com' });
    assert.equal(gmail.credentials.imap, null, 'who names the server for sending alone wants only that');
  });

  it('default to the ports of RFC 8314, and to TLS on those that have it from the start', () => {
    const { credentials } = readImapSettings({ ...FULL, imap_port: undefined, smtp_port: undefined });
    assert.deepEqual([credentials.imap?.port, credentials.imap?.security], [993, 'tls']);
    assert.deepEqual([credentials.smtp.port, credentials.smtp.security], [587, 'starttls']);
    const asked = readImapSettings({ ...FULL, imap_security: 'tls', smtp_security: 'starttls' });
    assert.deepEqual([asked.credentials.imap?.security, asked.credentials.smtp.security], ['tls', 'starttls']);
  });

  it('take the address from the user name, or from `email`', () => {
    assert.equal(readImapSettings({ ...FULL, imap_username: 'nyla', email: 'n@shop.test' }).email, 'n@shop.test');
    assert.match(refusal({ imap_username: 'nyla' }), /^settings\.email is required, because the user name "nyla"/);
  });

  it('take ports as digits and hosts of other alphabets', () => {
    const { credentials } = readImapSettings({ ...FULL, imap_port: '993', imap_host: 'post.müller.test' });
    assert.deepEqual([credentials.imap?.port, credentials.imap?.host], [993, 'post.xn--mller-kva.test']);
    assert.equal(readImapSettings({ ...FULL, imap_host: '[::1]' }).credentials.imap?.host, '::1');
  });

  it('carry XOAUTH2 instead of passwords', () => {
    const oauth = { token_url: 'https://login.test/token', client_id: 'c', client_secret: 's', refresh_token: 'r' };
    const { credentials, shown } = readImapSettings({ ...FULL, imap_password: undefined, oauth });
    assert.deepEqual(credentials.oauth, {
      tokenUrl: 'https://login.test/token',
      clientId: 'c',
      clientSecret: 's',
      refreshToken: 'r',
      accessToken: '',
      expiresAt: 0,
    });
    assert.equal('password' in credentials.smtp, false);
    assert.equal(shown.oauth, true);
    assert.doesNotMatch(JSON.stringify(shown), /login\.test|"r"/);
  });

  it('name other addresses of the mailbox, which are not shown among them', () => {
    assert.equal(readImapSettings(FULL).aliases, null);
    assert.deepEqual(readImapSettings({ ...FULL, email_aliases: [] }).aliases, []);
    const email_aliases = [' Sales@Shop.test', 'sales@shop.test', 'NYLA@shop.test', 'info@müller.test'];
    const { aliases, shown } = readImapSettings({ ...FULL, email_aliases });
    assert.deepEqual(aliases, ['sales@shop.test', 'info@müller.test']);
    assert.equal('email_aliases' in shown, false);
  });

  it('name folders to be watched, which are shown', () => {
    assert.equal('watch_folders' in readImapSettings({ ...FULL, watch_folders: [] }).shown, false);
    const { shown } = readImapSettings({ ...FULL, watch_folders: ['Archive/Kunden', 'Projekte', 'Projekte'] });
    assert.deepEqual(shown.watch_folders, ['Archive/Kunden', 'Projekte']);
    assert.deepEqual(readImapSettings({ ...FULL, watch_folders: ['*'] }).shown.watch_folders, ['*']);
  });

  const many = Array.from({ length: 51 }, (_, at) => `a${at}@b.test`);
  const refused: readonly (readonly [change: object, without: readonly string[], told: RegExp])[] = [
    [{}, ['imap_username'], /^settings\.imap_username is required$/],
    [{}, ['imap_password'], /^settings\.imap_password is required$/],
    [{ imap_password: '' }, [], /^settings\.imap_password is required$/],
    [{}, ['imap_host'], /^settings\.imap_host is required with imap_port$/],
    [{}, ['smtp_host'], /^settings\.smtp_host is required: the mail servers of shop\.test are not known/],
    [{ imap_port: 0 }, [], /^settings\.imap_port must be a port from 1 to 65535$/],
    [{ smtp_port: 65_536 }, [], /^settings\.smtp_port must be a port/],
    [{ smtp_port: 25.5 }, [], /^settings\.smtp_port must be a port/],
    [{ imap_host: 'https://imap.shop.test' }, [], /^settings\.imap_host must be the name or the address of a host/],
    [{ smtp_host: 'smtp.shop.test:465' }, [], /^settings\.smtp_host must be/],
    [{ smtp_host: 'a b' }, [], /^settings\.smtp_host must be/],
    [{ smtp_host: '127.1' }, [], /^settings\.smtp_host must be/],
    [{ imap_host: 5 }, [], /^settings\.imap_host must be text$/],
    [{ imap_password: 'line\r\nbreak' }, [], /^settings\.imap_password must not contain control characters$/],
    [{ imap_username: 'x'.repeat(400) }, [], /^settings\.imap_username must have at most 320 characters$/],
    [{ email: 'nobody' }, [], /^settings\.email must be an address/],
    [{ smtp_security: 'ssl' }, [], /^settings\.smtp_security must be tls or starttls$/],
    [{ imap_pasword: 'x' }, [], /^settings\.imap_pasword is not known; known are email, imap_username/],
    [{ oauth: 'token' }, [], /^settings\.oauth must be an object$/],
    [{ oauth: { token_url: 'https://a.test/' } }, [], /^settings\.oauth\.client_id is required$/],
    [
      { oauth: { token_url: 'ftp://a.test/', client_id: 'c', refresh_token: 'r' } },
      [],
      /^settings\.oauth\.token_url must/,
    ],
    [{ email_aliases: 'a@b.test' }, [], /^settings\.email_aliases must be a list of addresses$/],
    [{ email_aliases: ['a@b.test', 5] }, [], /^settings\.email_aliases must be a list of addresses$/],
    [{ email_aliases: ['a@b.test', 'nobody'] }, [], /^settings\.email_aliases must be addresses .*: "nobody" is none$/],
    [{ email_aliases: ['a\0@b.test'] }, [], /^settings\.email_aliases must be addresses/],
    [{ email_aliases: [`${'x'.repeat(320)}@b.test`] }, [], /^settings\.email_aliases must be addresses/],
    [{ email_aliases: many }, [], /^settings\.email_aliases must have at most 50 addresses$/],
    [{ watch_folders: '*' }, [], /^settings\.watch_folders must be a list of paths of folders$/],
    [{ watch_folders: {} }, [], /^settings\.watch_folders must be a list/],
    [{ watch_folders: ['a', ''] }, [], /^settings\.watch_folders must not hold "": that is no path$/],
    [{ watch_folders: ['a\r\nb'] }, [], /^settings\.watch_folders must not hold "a\\r\\nb"/],
    [{ watch_folders: ['x'.repeat(501)] }, [], /^settings\.watch_folders must not hold/],
    [{ watch_folders: ['*', 'a'] }, [], /^settings\.watch_folders must be \["\*"\] or paths of folders, not both$/],
    [{ watch_folders: many }, [], /^settings\.watch_folders must have at most 50 paths/],
    [{ watch_folders: ['a'] }, ['imap_host', 'imap_port'], /^settings\.watch_folders needs imap_host/],
    [{ watch_folder: ['a'] }, [], /^settings\.watch_folder is not known/],
    [{ oauth: { token: 'x' } }, [], /^settings\.oauth\.token is not known/],
  ];
  for (const [change, without, told] of refused) {
    it(`refuse ${JSON.stringify(change).slice(0, 80)}${without.length > 0 ? ` without ${without}` : ''}`, () => {
      assert.match(refusal(change, without), told);
    });
  }

  it('let other members pass, which applications send along', () => {
    assert.equal(refusal({ type: 'custom', provider: 'generic' }), 'accepted');
  });

  it('name the field a refused login came from', () => {
    assert.equal(loginField(FULL, 'smtp'), 'settings.imap_password');
    assert.equal(loginField({ ...FULL, smtp_password: 'x' }, 'smtp'), 'settings.smtp_password');
    assert.equal(loginField(FULL, 'imap'), 'settings.imap_password');
    assert.equal(loginField({ oauth: {} }, 'imap'), 'settings.oauth');
  });
});
