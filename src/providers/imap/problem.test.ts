import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemOf } from './problem.ts';

/** What servers say at login, as their documentation, their source or their users quote them. */
const LOGIN_ANSWERS = [
  ['Gmail', 'NO', 'AUTHENTICATIONFAILED', 'Invalid credentials (Failure)', 'unauthorised'],
  [
    'Gmail',
    'NO',
    'ALERT',
    'Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)',
    'unauthorised',
  ],
  [
    'Gmail',
    'NO',
    'ALERT',
    'Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)',
    'unauthorised',
  ],
  ['Gmail', 'NO', 'ALERT', 'Too many simultaneous connections. (Failure)', 'unreachable'],
  ['Gmail', 'NO', 'OVERQUOTA', 'Account exceeded command or bandwidth limits.', 'unreachable'],
  ['Microsoft 365', 'NO', '', 'AUTHENTICATE failed.', 'unauthorised'],
  ['Microsoft 365', 'NO', '', 'LOGIN failed.', 'unauthorised'],
  ['Yahoo', 'NO', 'AUTHENTICATIONFAILED', 'LOGIN Invalid credentials', 'unauthorised'],
  ['Yahoo', 'NO', 'LIMIT', 'LOGIN Rate limit hit.', 'unreachable'],
  ['Yahoo', 'NO', 'UNAVAILABLE', 'LOGIN Server error - Please try again later', 'unreachable'],
  ['iCloud', 'NO', 'AUTHENTICATIONFAILED', 'Authentication Failed', 'unauthorised'],
  ['Fastmail', 'NO', '', 'Login failed: authentication failure', 'unauthorised'],
  ['Dovecot', 'NO', 'AUTHENTICATIONFAILED', 'Authentication failed.', 'unauthorised'],
  ['Dovecot', 'NO', 'UNAVAILABLE', 'Temporary authentication failure. [mail:2026-11-22 00:00:00]', 'unreachable'],
  [
    'Dovecot',
    'NO',
    'LIMIT',
    'Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)',
    'unreachable',
  ],
  [
    'Dovecot',
    'NO',
    'PRIVACYREQUIRED',
    'Plaintext authentication disallowed on non-secure (SSL/TLS) connections.',
    'unusable',
  ],
  ['Courier', 'NO', '', 'Login failed.', 'unauthorised'],
  ['Cyrus', 'NO', '', 'Login failed: generic failure', 'unauthorised'],
  ['Zoho', 'NO', 'ALERT', 'Invalid credentials (Failure)', 'unauthorised'],
  [
    'Zoho',
    'NO',
    'ALERT',
    'You are yet to enable IMAP for your account. Please contact your administrator',
    'unauthorised',
  ],
  [
    'mail.ru',
    'NO',
    'AUTHENTICATIONFAILED',
    'NEOBHODIM parol prilozheniya / Application password is REQUIRED',
    'unauthorised',
  ],
  ['Yandex', 'NO', 'AUTHENTICATIONFAILED', 'LOGIN invalid credentials or IMAP is disabled sc=abc', 'unauthorised'],
  [
    'QQ',
    'NO',
    '',
    'Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or system is busy.',
    'unauthorised',
  ],
  ['163.com', 'NO', '', 'LOGIN Login error or password error', 'unauthorised'],
] as const;

describe('a login that an IMAP server refuses', () => {
  for (const [server, responseStatus, serverResponseCode, responseText, kind] of LOGIN_ANSWERS) {
    it(`means ${kind}: ${server}, ${responseText.slice(0, 60)}`, () => {
      const error = Object.assign(new Error('Command failed'), {
        authenticationFailed: true,
        responseStatus,
        serverResponseCode,
        responseText,
      });
      const problem = problemOf(error, 'imap.example.com');
      assert.equal(problem.kind, kind);
      assert.match(problem.reason, /^imap\.example\.com [^\r\n]*[^.]$/);
    });
  }

  it('is not one where the connection ended first', () => {
    const error = Object.assign(new Error('Connection not available'), {
      authenticationFailed: true,
      code: 'NoConnection',
    });
    assert.equal(problemOf(error, 'imap.example.com').kind, 'unreachable');
  });
});
