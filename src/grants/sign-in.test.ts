import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts';
import { migrate } from '../db/migrate.ts';
import type { Sql } from '../db/pool.ts';
import { parseKeyring } from '../keyring.ts';
import { createSignInToken, makeSessions, SESSION_HOURS, useSignInToken } from './sign-in.ts';

let database: TestDatabase;
let sql: Sql;

before(async () => {
  database = await testDatabase(migrate);
  sql = database.sql;
});
after(async () => await database.drop());

describe('a sign-in token', () => {
  it('works once', async () => {
    const token = await createSignInToken(sql);
    assert.match(token, /^[\w-]{43}$/);
    assert.equal(await useSignInToken(sql, token), true);
    assert.equal(await useSignInToken(sql, token), false);
  });

  it('works for one of many who try at the same moment', async () => {
    const token = await createSignInToken(sql);
    const tries = await Promise.all(Array.from({ length: 10 }, () => useSignInToken(sql, token)));
    assert.equal(tries.filter(Boolean).length, 1);
  });

  it('is stored as a hash only', async () => {
    const token = await createSignInToken(sql);
    const rows = await sql`select * from sign_in_tokens`;
    assert.ok(!JSON.stringify(rows).includes(token));
  });

  it('ends after 24 hours and is then forgotten', async () => {
    const token = await createSignInToken(sql);
    const [row] =
      await sql`select max(expires_at) - now() > interval '23 hours 59 minutes' as long from sign_in_tokens`;
    assert.equal(row?.long, true);
    await sql`update sign_in_tokens set expires_at = now() - interval '1 second'`;
    assert.equal(await useSignInToken(sql, token), false);
    await createSignInToken(sql);
    assert.equal((await sql`select 1 from sign_in_tokens`).length, 1);
  });

  it('is nothing else', async () => {
    for (const token of ['', 'x', '\0']) assert.equal(await useSignInToken(sql, token), false);
  });
});

describe('a session', () => {
  const ring = parseKeyring('1:the first session secret,2:the second session secret');
  let clock = Date.parse('2026-11-21T12:00:00Z');
  const sessions = makeSessions({ ring, secure: false, now: () => clock });
  const value = (setCookie: string): string => setCookie.split(';', 1)[0] ?? '';

  it('is a strict cookie out of reach for scripts', () => {
    assert.match(
      sessions.open(),
      /^telltale_session=2\.\d+\.[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
    );
    const overHttps = makeSessions({ ring, secure: true }).open();
    assert.match(overHttps, /^__Host-telltale_session=.*; Path=\/; .*; HttpOnly; SameSite=Strict; Secure$/);
  });

  it('lasts 12 hours', () => {
    const cookie = value(sessions.open());
    assert.equal(sessions.isOpen(cookie), true);
    clock += SESSION_HOURS * 3_600_000 - 1;
    assert.equal(sessions.isOpen(cookie), true);
    clock += 1;
    assert.equal(sessions.isOpen(cookie), false);
  });

  it('is found among other cookies, also behind a false one of the same name', () => {
    const cookie = value(sessions.open());
    assert.equal(sessions.isOpen(`a=b; telltale_session=1.9.x; ${cookie}; c`), true);
  });

  it('cannot be forged, prolonged or taken from another key', () => {
    const cookie = value(sessions.open());
    const [, id, expires, signature] = /=(\d+)\.(\d+)\.(.+)$/.exec(cookie) ?? [];
    const forged = [
      undefined,
      '',
      'telltale_session=',
      `telltale_session=${id}.${Number(expires) + 1}.${signature}`,
      `telltale_session=1.${expires}.${signature}`,
      `telltale_session=3.${expires}.${signature}`,
      `telltale_session=${id}.${expires}.`,
      `telltale_session=${id}.${expires}`,
      `other=${cookie.split('=')[1]}`,
    ];
    for (const header of forged) assert.equal(sessions.isOpen(header), false, header);
    const elsewhere = makeSessions({
      ring: parseKeyring('2:quite another secret here'),
      secure: false,
      now: () => clock,
    });
    assert.equal(elsewhere.isOpen(cookie), false);
  });

  it('of an older key stays open while the key is in the ring', () => {
    const old = makeSessions({ ring: parseKeyring('1:the first session secret'), secure: false, now: () => clock });
    assert.equal(sessions.isOpen(value(old.open())), true);
  });
});
