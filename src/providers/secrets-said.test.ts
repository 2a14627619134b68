import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemOf } from './imap/problem.ts';
import { type Auth, base64, withhold } from './secrets-said.ts';

const USER = 'ann@example.com';
const PASSWORD = 'correct "horse" battery';
const TOKEN = 'ya29.secret-token-of-ann';
const password: Auth = { password: PASSWORD };
const token: Auth = { accessToken: TOKEN };

const LINES: readonly (readonly [what: string, auth: Auth, said: string])[] = [
  ['the password', password, `NO "${PASSWORD}" is wrong`],
  ['LOGIN as it is quoted', password, String.raw`BAD LOGIN "${USER}" "correct \"horse\" battery"`],
  ['the password in base64', password, `NO ${base64(PASSWORD)} is wrong`],
  ['PLAIN', password, `BAD invalid ${base64(`\0${USER}\0${PASSWORD}`)}`],
  ['PLAIN, cut', password, `BAD invalid ${base64(`\0${USER}\0${PASSWORD}`).slice(0, 40)}`],
  ['PLAIN, in capitals', password, `BAD invalid ${base64(`\0${USER}\0${PASSWORD}`).toUpperCase()}`],
  ['a whole command', password, `BAD AUTHENTICATE PLAIN ${base64(`x\0${USER}\0${PASSWORD}`)}`],
  ['the token', token, `NO ${TOKEN} has expired`],
  ['the token in base64', token, `NO ${base64(TOKEN)} has expired`],
  ['XOAUTH2', token, `BAD invalid ${base64(`user=${USER}\x01auth=Bearer ${TOKEN}\x01\x01`)}`],
  [
    'OAUTHBEARER',
    token,
    `BAD invalid ${base64(`n,a=${USER},\x01host=imap.example.com\x01port=993\x01auth=Bearer ${TOKEN}\x01\x01`)}`,
  ],
];

describe('a server that repeats what it was told', () => {
  for (const [what, auth, said] of LINES) {
    it(`does not make us tell it on: ${what}`, () => {
      const secrets =
        /correct|horse|battery|ya29|secret|Y29ycmVjd|eWEyOS5|AGFubkB|dXNlcj1|bixhPW|eABhbm5A|Y29ycmVjdC|AGFUBkB/;
      assert.match(withhold(said, USER, auth), /…/);
      assert.doesNotMatch(withhold(said, USER, auth), secrets);
      // Also where the reason is cut in the middle of it.
      const error = Object.assign(new Error('Command failed'), {
        authenticationFailed: true,
        responseStatus: 'NO',
        responseText: `${'x'.repeat(175)} ${said}`,
      });
      const { reason } = problemOf(error, 'imap.example.com', (words) => withhold(words, USER, auth));
      assert.doesNotMatch(reason, secrets);
    });
  }

  it('is judged by all that it said', () => {
    const error = Object.assign(new Error('Command failed'), {
      authenticationFailed: true,
      responseStatus: 'NO',
      responseText: 'AUTHENTICATE PLAIN delayed, too many logins',
    });
    const problem = problemOf(error, 'imap.example.com', (words) => withhold(words, USER, { password: 'too many' }));
    assert.equal(problem.kind, 'unreachable');
    assert.doesNotMatch(problem.reason, /too many/);
  });
});
