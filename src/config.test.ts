import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { certificate } from '../test/support/certificate.ts';
import { loadConfig, SETTINGS } from './config.ts';
import { StartError } from './errors.ts';

function problemsOf(env: Record<string, string>, args: string[] = []): readonly string[] {
  try {
    loadConfig(env, args);
  } catch (error) {
    assert.ok(error instanceof StartError);
    return error.problems;
  }
  return [];
}

describe('settings', () => {
  it('needs none', () => {
    const config = loadConfig({});
    assert.equal(config.port, 8080);
    assert.equal(config.host, '127.0.0.1');
    assert.equal(config.publicUrl, 'http://localhost:8080');
    assert.equal(config.trackingUrl, 'http://localhost:8080');
    assert.equal(config.databaseUrl, null);
    assert.equal(config.loopback, true);
    assert.equal(config.practice, true);
    assert.deepEqual([...config.roles], ['api', 'edge', 'work']);
  });

  it('takes the tracking origin from the public one, and both follow the port', () => {
    assert.equal(loadConfig({ PORT: '9000' }).trackingUrl, 'http://localhost:9000');
    const config = loadConfig({ TELLTALE_PUBLIC_URL: 'https://mail.example.com/' });
    assert.equal(config.publicUrl, 'https://mail.example.com');
    assert.equal(config.trackingUrl, 'https://mail.example.com');
    assert.equal(config.loopback, false);
    assert.equal(config.practice, false);
  });

  it('reports all problems together, each under its name', () => {
    const problems = problemsOf({
      PORT: 'http',
      HOST: 'here',
      TELLTALE_PUBLIC_URL: 'mail.example.com',
      TELLTALE_TRACKING_URL: 'https://t.example.com/base',
      DATABASE_URL: 'mysql://x',
      TELLTALE_SECRET: 'tiny-one',
      TELLTALE_API_KEY: 'with space in it',
      TELLTALE_TRUSTED_PROXIES: '10.0.0.0/99',
      TELLTALE_ALLOW_PRIVATE_TARGETS: 'intranet',
      TELLTALE_MAIL_CA_FILE: '/nowhere/ca.pem',
      TELLTALE_OUTGOING_ADDRESSES: 'mail.example.com',
      TELLTALE_SMTP_URL: 'mail.example.com:587',
      TELLTALE_SMTP_FROM: 'Telltale',
      TELLTALE_FAILING_MINUTES: '1',
      TELLTALE_FAILED_HOURS: 'long',
      TELLTALE_FAILURE_PERCENT: '101',
      TELLTALE_NOTIFICATION_DAYS: '-1',
      TELLTALE_MAILBOX_POLL_SECONDS: '0',
      TELLTALE_SCHEDULE_GRACE_MINUTES: '0',
      TELLTALE_GRANT_REQUESTS_PER_SECOND: 'many',
      TELLTALE_GRANT_UPLOADS_PER_SECOND: '-1',
      TELLTALE_APPLICATION_REQUESTS_PER_SECOND: '0.5',
      GOOGLE_APPLICATION_CREDENTIALS: '/nowhere/key.json',
      PUBSUB_EMULATOR_HOST: 'localhost',
      TELLTALE_PRACTICE: 'yes',
      TELLTALE_LOG_LEVEL: 'loud',
    });
    assert.deepEqual(
      problems.map((problem) => problem.split(':')[0]).sort(),
      SETTINGS.filter((name) => name !== 'TELLTALE_DATA_DIR').sort(),
    );
    for (const problem of problems) assert.ok(!problem.includes('tiny-one'), 'a secret is never quoted');
  });

  it('takes certificate authorities from a file that really holds some', () => {
    const { cert } = certificate;
    const folder = mkdtempSync(join(tmpdir(), 'telltale-ca-'));
    try {
      writeFileSync(join(folder, 'ca.pem'), cert);
      writeFileSync(join(folder, 'empty.pem'), 'not a certificate');
      assert.equal(loadConfig({ TELLTALE_MAIL_CA_FILE: join(folder, 'ca.pem') }).mailCa, cert);
      assert.match(problemsOf({ TELLTALE_MAIL_CA_FILE: join(folder, 'empty.pem') }).join(), /no file of certificates/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('sends notices only with a server and a sender', () => {
    const url = 'smtps://telltale:tiny-one@mail.example.com';
    assert.equal(loadConfig({}).smtp, null);
    assert.match(problemsOf({ TELLTALE_SMTP_URL: url }).join(), /^TELLTALE_SMTP_FROM: must be set/);
    for (const from of ['telltale@example.com', 'Telltale <telltale@example.com>']) {
      assert.deepEqual(loadConfig({ TELLTALE_SMTP_URL: url, TELLTALE_SMTP_FROM: from }).smtp, { url, from });
    }
    for (const wrong of ['smtp://', 'smtp://h/path', 'smtp://h?tls=no', 'http://h']) {
      const problems = problemsOf({ TELLTALE_SMTP_URL: wrong, TELLTALE_SMTP_FROM: 'a@example.com' });
      assert.deepEqual(
        problems.map((problem) => problem.split(':')[0]),
        ['TELLTALE_SMTP_URL'],
        wrong,
      );
    }
  });

  it('has the thresholds of the page, and takes others within bounds', () => {
    assert.deepEqual(loadConfig({}).health, { failingMinutes: 15, failedHours: 72, failurePercent: 95 });
    assert.equal(loadConfig({ TELLTALE_FAILED_HOURS: '24' }).health.failedHours, 24);
    assert.equal(loadConfig({}).notificationDays, 90);
    assert.equal(loadConfig({ TELLTALE_NOTIFICATION_DAYS: '0' }).notificationDays, 0);
  });

  it('lets a scheduled message leave up to a day late', () => {
    assert.equal(loadConfig({}).scheduleGraceMinutes, 1440);
    assert.equal(loadConfig({ TELLTALE_SCHEDULE_GRACE_MINUTES: '5' }).scheduleGraceMinutes, 5);
  });

  it('limits how often is asked, by generous defaults that can be taken away', () => {
    assert.deepEqual(loadConfig({}).rateLimits, {
      grantRequestsPerSecond: 1000,
      grantUploadsPerSecond: 50,
      applicationRequestsPerSecond: 2000,
    });
    const { rateLimits } = loadConfig({ TELLTALE_GRANT_UPLOADS_PER_SECOND: '0' });
    assert.equal(rateLimits.grantUploadsPerSecond, 0);
  });

  it('reads what Pub/Sub needs under the names Google gave it', () => {
    assert.deepEqual(loadConfig({}).google, { credentialsFile: null, pubsubEmulator: null });
    assert.equal(loadConfig({ PUBSUB_EMULATOR_HOST: 'pubsub:8085' }).google.pubsubEmulator, 'pubsub:8085');
    assert.equal(loadConfig({ PUBSUB_EMULATOR_HOST: '[::1]:8085' }).google.pubsubEmulator, '[::1]:8085');
  });

  it('never shows what may be a secret in the wrong place', () => {
    const file = '{"type":"service_account","private_key":"hidden"}';
    for (const settings of [
      { GOOGLE_APPLICATION_CREDENTIALS: file },
      { GOOGLE_APPLICATION_CREDENTIALS: `hidden${Buffer.from(file.repeat(5)).toString('base64')}` },
      { TELLTALE_MAIL_CA_FILE: '-----BEGIN PRIVATE KEY-----\nhidden' },
      { TELLTALE_SMTP_FROM: 'smtp://user:hidden@mail.example.com' },
      { TELLTALE_SMTP_FROM: 'Us <smtp://user:hidden@mail.example.com>' },
      { TELLTALE_SMTP_URL: 'smtp://user:hid#den@mail.example.com' },
      { TELLTALE_PUBLIC_URL: 'ftp://user:hidden@mail.example.com' },
      { TELLTALE_PUBLIC_URL: 'https://user:hidden@mail example.com' },
      { PUBSUB_EMULATOR_HOST: 'user:hidden@pubsub:8085' },
    ]) {
      const problems = problemsOf(settings);
      assert.equal(problems.length, 1, JSON.stringify(settings));
      assert.doesNotMatch(problems.join(), /hid/);
    }
    assert.match(problemsOf({ GOOGLE_APPLICATION_CREDENTIALS: '/etc/none.json' }).join(), /"\/etc\/none\.json" is not/);
  });

  it('wants a secret with a database of your own', () => {
    assert.match(problemsOf({ DATABASE_URL: 'postgres://db/x' }).join(), /^TELLTALE_SECRET: must be set/);
    assert.deepEqual(problemsOf({ DATABASE_URL: 'postgres://db/x', TELLTALE_SECRET: 'x'.repeat(16) }), []);
  });

  it('knows no other TELLTALE_ name, and guesses the one that was meant', () => {
    assert.match(
      problemsOf({ TELLTALE_TRACKING_HOST: 'x' }).join(),
      /no such setting\. Did you mean TELLTALE_TRACKING_URL/,
    );
    assert.match(problemsOf({ TELLTALE_SECRETS: 'x' }).join(), /Did you mean TELLTALE_SECRET\?/);
    for (const name of ['TELLTALE_FOO', 'TELLTALE_FAX', 'TELLTALE_']) {
      assert.deepEqual(problemsOf({ [name]: 'x' }), [`${name}: there is no such setting.`]);
    }
  });

  it('overlooks what Kubernetes says about a service called telltale', () => {
    const injected = {
      TELLTALE_SERVICE_HOST: '10.0.0.1',
      TELLTALE_PORT: 'tcp://10.0.0.1:80',
      TELLTALE_PORT_80_TCP: 'x',
    };
    assert.deepEqual(problemsOf(injected), []);
  });

  it('counts an empty value as not set', () => {
    assert.equal(loadConfig({ PORT: '', TELLTALE_SECRET: ' ' }).port, 8080);
  });

  it('starts only the roles asked for', () => {
    assert.deepEqual([...loadConfig({}, ['--roles', 'edge']).roles], ['edge']);
    assert.deepEqual([...loadConfig({}, ['--roles=api,work']).roles], ['edge', 'api', 'work']);
    assert.match(problemsOf({}, ['--roles', 'worker']).join(), /"worker" is none of api, edge, work/);
    for (const args of [['--role', 'api'], ['--help'], ['--roles'], ['--roles=api', 'x'], ['api']]) {
      assert.match(problemsOf({}, args).join(), /is not understood; the one option is --roles/, args.join(' '));
    }
  });

  it('stand in .env.example and in docs/operations.md, every one and no other', () => {
    const example = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
    const named = [...example.matchAll(/^(?:# )?([A-Z_]+)=/gm)].map((match) => match[1]);
    assert.deepEqual(named.sort(), [...SETTINGS].sort());
    const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    for (const name of SETTINGS) assert.match(operations, new RegExp(`^\\|.*\`${name}\``, 'm'));
  });
});
