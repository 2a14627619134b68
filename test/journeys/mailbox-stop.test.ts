// A service that is asked to stop while mail is being sent through servers that hang.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { startMailService } from '../support/mail-service.ts';
import { eventually, type Service } from '../support/service.ts';

let mail: BareMail;
let service: Service;

before(async () => {
  mail = await startBareMail();
  service = await startMailService();
});
after(async () => {
  service.child.kill('SIGKILL');
  await service.stop();
  await mail.close();
});

describe('stopping while mail is being sent', () => {
  it('answers every caller: 504 where the mail had been given, 503 where it waited for a connection', async () => {
    const connected = await service.api('POST', '/v3/connect/custom', {
      provider: 'imap',
      settings: {
        imap_username: mail.user,
        imap_password: 'bare-secret',
        smtp_host: '127.0.0.1',
        smtp_port: mail.ports.smtp,
      },
    });
    assert.equal(connected.status, 201, connected.text);
    const logins = mail.logins.smtp;
    mail.faults.data = 'hang';
    const body = { to: [{ email: 'kim@example.com' }], subject: 'Hello', body: '<p>Hi</p>' };
    const sends = Array.from({ length: 5 }, () =>
      service.api('POST', `/v3/grants/${String(connected.at('data.id'))}/messages/send`, body),
    );
    await eventually('three connections are busy', () => (mail.logins.smtp === logins + 3 ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, 200)); // until the mails themselves were given

    const began = performance.now();
    service.child.kill('SIGTERM');
    const answers = await Promise.all(sends);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [503, 503, 504, 504, 504]);
    for (const answer of answers) {
      const named = answer.at('error.provider_error.message_id');
      assert.equal(typeof named, answer.status === 504 ? 'string' : 'undefined', answer.text);
    }
    assert.equal(await service.exited, 0);
    assert.ok(performance.now() - began < 9_000);
    assert.equal(mail.delivered().length, 0);
    const lines = service.log().filter(({ event }) => event === 'message.not_sent');
    assert.equal(lines.length, 5);
    assert.deepEqual(
      service.log().filter(({ event }) => event === 'send.unrecorded' || event === 'part.stopped_late'),
      [],
    );
  });
});
