import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judge, readReply, retryAfter, type Stage, shownReply, type Verdict } from './replies.ts';

/** Texts of servers, as their documentation, their source or their users quote them. */
const TEXTS: readonly (readonly [server: string, stage: Stage, response: string, verdict: Verdict])[] = [
  // Logging in
  [
    'Gmail',
    'auth',
    '535-5.7.8 Username and Password not accepted. For more information, go to\n535 5.7.8  https://support.google.com/mail/?p=BadCredentials a1-20020a - gsmtp',
    'unauthorised',
  ],
  [
    'Gmail',
    'auth',
    '534-5.7.9 Application-specific password required. For more information, go to\n534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor a1-20020a - gsmtp',
    'unauthorised',
  ],
  [
    'Gmail',
    'auth',
    '534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1> Please log in via your web browser and\n534-5.7.14 then try again.\n534 5.7.14  Learn more at https://support.google.com/mail/answer/78754',
    'unauthorised',
  ],
  ['Gmail', 'auth', '454 4.7.0 Too many login attempts, please try again later. a1-20020a - gsmtp', 'throttled'],
  ['Gmail', 'auth', '421 4.7.0 Try again later, closing connection. (AUTH) a1-20020a - gsmtp', 'deferred'],
  [
    'Microsoft 365',
    'auth',
    '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [AM0PR0202CA0001.eurprd02.prod.outlook.com]',
    'unauthorised',
  ],
  [
    'Microsoft 365',
    'auth',
    '535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM]',
    'unauthorised',
  ],
  [
    'Microsoft 365',
    'auth',
    '535 5.7.3 Authentication unsuccessful [AM6P191CA0001.EURP191.PROD.OUTLOOK.COM]',
    'unauthorised',
  ],
  [
    'Microsoft 365',
    'auth',
    '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=OS0PR01MB6099.jpnprd01.prod.outlook.com]',
    'throttled',
  ],
  ['Exchange', 'auth', '454 4.7.0 Temporary authentication failure', 'deferred'],
  ['Exchange', 'auth', '535 5.7.3 Authentication unsuccessful', 'unauthorised'],
  ['Yahoo', 'auth', '535 5.7.0 (#AUTH005) Too many bad auth attempts.', 'throttled'],
  ['AOL', 'auth', '535 5.7.0 (#MBR1212) Incorrect username or password.', 'unauthorised'],
  ['iCloud', 'auth', '535 5.7.8 Error: authentication failed: authentication failure', 'unauthorised'],
  ['Fastmail', 'auth', '535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6', 'unauthorised'],
  ['Zoho', 'auth', '535 Authentication Failed', 'unauthorised'],
  ['Yandex', 'auth', '535 5.7.8 Error: authentication failed: Invalid user or password!', 'unauthorised'],
  [
    'Yandex',
    'auth',
    '535 5.7.8 Error: authentication failed: This user does not have access rights to this service',
    'unauthorised',
  ],
  [
    'mail.ru',
    'auth',
    '535 5.7.0 NEOBHODIM parol prilozheniya https://help.mail.ru/mail/security/protection/external / Application password is REQUIRED',
    'unauthorised',
  ],
  ['GMX', 'auth', '535 Authentication credentials invalid', 'unauthorised'],
  ['Amazon SES', 'auth', '535 Authentication Credentials Invalid', 'unauthorised'],
  ['163.com', 'auth', '535 Error: authentication failed, system busy', 'deferred'],
  ['163.com', 'auth', '550 User has no permission', 'unauthorised'],
  ['Exim', 'auth', '535 Incorrect authentication data', 'unauthorised'],
  ['Exim', 'auth', '435 Unable to authenticate at present: connection to authentication daemon failed', 'deferred'],
  [
    'Postfix with Dovecot',
    'auth',
    '454 4.7.0 Temporary authentication failure: Connection lost to authentication server',
    'deferred',
  ],
  ['Postfix with Cyrus SASL', 'auth', '535 5.7.8 Error: authentication failed: generic failure', 'deferred'],
  ['Postfix', 'auth', '503 5.5.1 Error: authentication not enabled', 'failed'],
  ['Postfix', 'auth', '421 4.7.0 mail.example.com Error: too many errors', 'throttled'],
  ['Dovecot submission', 'auth', '535 5.7.8 Authentication failed.', 'unauthorised'],
  ['Dovecot submission', 'auth', '454 4.7.0 Temporary internal failure', 'deferred'],
  ['Sendmail', 'auth', '535 5.7.0 authentication failed', 'unauthorised'],
  ['Sendmail', 'auth', '538 5.7.0 Encryption required for requested authentication mechanism', 'failed'],
  ['Sendmail', 'auth', '504 5.3.3 AUTH mechanism XOAUTH2 not available', 'failed'],
  ['Proofpoint', 'auth', '554 5.7.1 Service unavailable; Client host blocked using proofpoint', 'failed'],

  // Connecting
  [
    'Microsoft 365',
    'greeting',
    '421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel',
    'throttled',
  ],
  ['Dovecot submission', 'greeting', '421 4.3.2 Shutting down', 'deferred'],
  [
    'Exim',
    'greeting',
    '421 Too many concurrent SMTP connections from this IP address; please try again later.',
    'throttled',
  ],
  ['Postfix', 'greeting', '421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1', 'throttled'],
  [
    'GMX',
    'greeting',
    '554-gmx.net (mrgmx004) Nemesis ESMTP Service not available\n554-No SMTP service\n554-IP address is block listed.\n554 For explanation visit https://postmaster.gmx.net/en/error-messages',
    'failed',
  ],
  ['Sendmail', 'greeting', '554 mail.example.com ESMTP not accepting messages', 'failed'],

  // MAIL FROM
  [
    'Gmail',
    'from',
    '550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\n550-5.4.5 sending limits go to\n550 5.4.5  https://support.google.com/a/answer/166852 a1-20020a - gsmtp',
    'throttled',
  ],
  [
    'Gmail',
    'from',
    '530-5.7.0 Must issue a STARTTLS command first. For more information, go to\n530 5.7.0  https://support.google.com/a/answer/3221692 a1-20020a - gsmtp',
    'failed',
  ],
  [
    'Gmail',
    'from',
    '530-5.7.0 Authentication Required. For more information, go to\n530 5.7.0  https://support.google.com/mail/?p=WantAuthError a1-20020a - gsmtp',
    'failed',
  ],
  [
    'Gmail',
    'from',
    "552-5.3.4 Your message exceeded Google's message size limits. For more information,\n552 5.3.4 visit https://support.google.com/mail/?p=MaxSizeError a1-20020a - gsmtp",
    'rejected',
  ],
  [
    'Microsoft 365',
    'from',
    '530 5.7.57 Client not authenticated to send mail. [AM0PR02CA0001.eurprd02.prod.outlook.com]',
    'failed',
  ],
  [
    'Yahoo',
    'from',
    '421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes',
    'throttled',
  ],
  ['QQ', 'from', '501 mail from address must be same as authorization user', 'failed'],
  ['mail.ru', 'from', '550 not local sender over smtp', 'failed'],
  ['Yandex', 'from', '553 5.7.1 Sender address rejected: not owned by auth user.', 'failed'],
  ['Postfix', 'from', '452 4.3.1 Insufficient system storage', 'deferred'],
  ['Postfix', 'from', '501 5.1.7 Bad sender address syntax', 'failed'],
  ['Postfix', 'from', '503 5.5.1 Error: nested MAIL command', 'failed'],
  ['Postfix', 'from', '450 4.7.1 Error: too much mail from 192.0.2.1', 'throttled'],

  // RCPT TO
  [
    'Gmail',
    'recipient',
    "550-5.1.1 The email account that you tried to reach does not exist. Please try\n550-5.1.1 double-checking the recipient's email address for typos or\n550-5.1.1 unnecessary spaces. For more information, go to\n550 5.1.1  https://support.google.com/mail/?p=NoSuchUser a1-20020a - gsmtp",
    'rejected',
  ],
  [
    'Gmail',
    'recipient',
    '450-4.2.1 The user you are trying to contact is receiving mail at a rate that\n450-4.2.1 prevents additional messages from being delivered. Please resend your\n450 4.2.1 message at a later time. - gsmtp',
    'throttled',
  ],
  [
    'Gmail',
    'recipient',
    "452-4.2.2 The recipient's inbox is out of storage space. Please direct the\n452 4.2.2 recipient to https://support.google.com/mail/?p=OverQuotaTemp - gsmtp",
    'deferred',
  ],
  [
    'Gmail',
    'recipient',
    '553-5.1.3 The recipient address <kim@> is not a valid RFC 5321 address.\n553 5.1.3 a1-20020a - gsmtp',
    'rejected',
  ],
  [
    'Microsoft 365',
    'recipient',
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
    'throttled',
  ],
  [
    'Microsoft 365',
    'recipient',
    '550 5.4.1 Recipient address rejected: Access denied. [AM0EUR02FT001.eop-EUR02.prod.protection.outlook.com]',
    'rejected',
  ],
  ['Postfix', 'recipient', '554 5.7.1 <kim@example.net>: Relay access denied', 'rejected'],
  [
    'Postfix',
    'recipient',
    '550 5.1.1 <kim@example.net>: Recipient address rejected: User unknown in local recipient table',
    'rejected',
  ],
  [
    'Postfix',
    'recipient',
    '553 5.7.1 <ann@example.com>: Sender address rejected: not owned by user bob@example.com',
    'failed',
  ],
  ['Postfix', 'recipient', '452 4.5.3 Error: too many recipients', 'throttled'],
  ['Postfix', 'recipient', '450 4.1.2 <kim@example.invalid>: Recipient address rejected: Domain not found', 'deferred'],
  [
    'Postgrey',
    'recipient',
    '450 4.2.0 <kim@example.net>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.net.html',
    'deferred',
  ],
  ['milter-greylist', 'recipient', '451 4.7.1 Greylisting in action, please come back in 00:05:00', 'deferred'],
  ['Exim', 'recipient', '501 <kim@>: domain missing or malformed', 'rejected'],
  [
    'Exim on cPanel',
    'recipient',
    '550 Domain example.com has exceeded the max emails per hour (205/200 (102%)) allowed.  Message discarded.',
    'throttled',
  ],
  [
    'GMX',
    'recipient',
    '550-Requested action not taken: mailbox unavailable\n550 Sender address is not allowed.',
    'failed',
  ],
  [
    'GMX',
    'recipient',
    '550-Requested action not taken: mailbox unavailable\n550 invalid DNS MX or A/AAAA resource record',
    'rejected',
  ],
  ['Zoho', 'recipient', '553 Relaying disallowed as ann@example.com', 'failed'],
  [
    'Yandex',
    'recipient',
    '451 4.5.1 The recipient <kim@yandex.ru> has exceeded their message rate limit. Try again later. 1700000000-abcDEF',
    'throttled',
  ],
  ['iCloud', 'recipient', '552 5.2.2 <kim@icloud.com>: user is over quota', 'rejected'],
  ['Sendmail', 'recipient', '550 5.1.1 <kim@example.net>... User unknown', 'rejected'],
  ['Mimecast', 'recipient', '550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550', 'rejected'],

  // DATA and the mail
  [
    'Gmail',
    'data',
    '552-5.7.0 This message was blocked because its content presents a potential\n552-5.7.0 security issue. To review our message content and attachment content\n552 5.7.0 guidelines, go to https://support.google.com/mail/?p=BlockedMessage - gsmtp',
    'rejected',
  ],
  [
    'Gmail',
    'data',
    '421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating\n421 4.7.28 from your IP address. - gsmtp',
    'throttled',
  ],
  [
    'Microsoft 365',
    'data',
    '554 5.2.252 SendAsDenied; bob@example.com not allowed to send as ann@example.com; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied',
    'failed',
  ],
  [
    'Microsoft 365',
    'data',
    '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message',
    'throttled',
  ],
  ['Microsoft 365', 'data', '550 5.1.8 Access denied, bad outbound sender AS(42003)', 'failed'],
  [
    'Microsoft 365',
    'data',
    '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.',
    'throttled',
  ],
  [
    'Microsoft 365',
    'data',
    "550 5.7.233 - Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients",
    'throttled',
  ],
  ['Exchange', 'data', '550 5.7.60 SMTP; Client does not have permissions to send as this sender', 'failed'],
  ['Exchange', 'data', '552 5.3.4 Message size exceeds fixed maximum message size', 'rejected'],
  ['Exchange', 'data', '451 4.7.0 Temporary server error. Please try again later. PRX5', 'deferred'],
  ['Fastmail', 'data', '551 5.7.1 Not authorised to send from this header address', 'failed'],
  ['iCloud', 'data', '550 5.7.0 From address is not one of your addresses', 'failed'],
  [
    'iCloud',
    'data',
    '554 5.7.1 [CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137',
    'rejected',
  ],
  ['Zoho', 'data', '550 5.4.6 Unusual sending activity detected. Please try after sometime', 'throttled'],
  [
    'Yandex',
    'data',
    '554 5.7.1 [2] Message rejected under suspicion of SPAM; https://ya.cc/1IrBc 1700000000-abcDEF',
    'rejected',
  ],
  [
    'mail.ru',
    'data',
    '550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=abc or report details to abuse@corp.mail.ru. Error code: ABC',
    'rejected',
  ],
  [
    'web.de',
    'data',
    '554-Transaction failed\n554-Reject due to policy restrictions.\n554 For explanation visit https://postmaster.web.de/en/case?c=r0601',
    'rejected',
  ],
  ['Amazon SES', 'data', '454 Throttling failure: Maximum sending rate exceeded.', 'throttled'],
  ['Amazon SES', 'data', '454 Throttling failure: Daily message quota exceeded.', 'throttled'],
  [
    'Amazon SES',
    'data',
    '554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: ann@example.com',
    'rejected',
  ],
  ['Postfix', 'data', '554 5.5.1 Error: no valid recipients', 'rejected'],
  ['Postfix', 'data', '552 5.3.4 Error: message file too big', 'rejected'],
  ['Postfix', 'data', '554 5.4.0 Error: too many hops', 'rejected'],
  ['Postfix', 'data', '503 5.5.1 Error: need RCPT command', 'failed'],
  ['Postfix', 'data', '451 4.3.0 Error: queue file write error', 'deferred'],
  ['Exim', 'data', '552 Message size exceeds maximum permitted', 'rejected'],
  ['Exim', 'data', '550 Too many "Received" headers - suspected mail loop', 'rejected'],
  ['Proofpoint', 'data', '554 5.7.0 Message rejected due to security policies', 'rejected'],
  ['Sendmail', 'data', '451 4.7.1 Please try again later', 'deferred'],
];

describe('a reply of an SMTP server', () => {
  for (const [server, stage, response, verdict] of TEXTS) {
    const reply = readReply(response);
    it(`of ${server} at ${stage} means ${verdict}: ${response.slice(0, 70).replaceAll('\n', ' ')}`, () => {
      assert.ok(reply);
      assert.equal(judge(stage, reply), verdict);
    });
  }

  it('ends a grant for a permanent refusal of the login alone', () => {
    for (const [, , response] of TEXTS) {
      const reply = readReply(response);
      assert.ok(reply);
      for (const stage of ['greeting', 'from', 'recipient', 'data'] as const) {
        assert.notEqual(judge(stage, reply), 'unauthorised');
      }
      if (reply.code < 500) assert.notEqual(judge('auth', reply), 'unauthorised');
    }
  });

  it('is read over several lines', () => {
    const reply = readReply('550-5.7.1 First line,\r\n550-5.7.1 second\n550 5.7.1 third');
    assert.deepEqual(reply, { code: 550, enhanced: '5.7.1', text: 'First line, second third' });
    assert.deepEqual(readReply('250'), { code: 250, enhanced: '', text: '' });
    assert.deepEqual(readReply('550 5.1.1.9 is an address'), {
      code: 550,
      enhanced: '',
      text: '5.1.1.9 is an address',
    });
    assert.equal(readReply('HTTP/1.1 400 Bad Request'), null);
    assert.equal(readReply('2500 what'), null);
    assert.equal(readReply(''), null);
  });

  it('is shown as one short line without what does not print', () => {
    const reply = readReply(`550 5.7.1 no\u0007 \u202Ewa\u0000y\t\there ${'😀'.repeat(400)}`);
    assert.ok(reply);
    const shown = shownReply(reply);
    assert.match(shown, /^550 5\.7\.1 no way here 😀+…$/u);
    assert.ok(shown.length <= 300);
  });

  it('may say when to come back', () => {
    assert.equal(retryAfter('Greylisted, try again in 300 seconds'), 300);
    assert.equal(retryAfter('please retry after 5 min'), 300);
    assert.equal(retryAfter('blocked for 2 hours'), 7200);
    assert.equal(retryAfter('in 99999 hours'), 86_400);
    assert.equal(retryAfter('try again later'), undefined);
  });

  it('is judged fast, whatever it says', () => {
    const started = performance.now();
    for (const piece of ['exceed ', 'daily limit ', 'size ', 'too many', 'a', ' ', 'message quota ', '5.4']) {
      const reply = readReply(`550 ${piece.repeat(200_000)}`);
      assert.ok(reply);
      for (const stage of ['auth', 'from', 'data'] as const) judge(stage, reply);
    }
    assert.ok(performance.now() - started < 1000);
  });
});
