// A mailbox on servers in this process: the whole way on a machine without any, and servers that fail in every way.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { recoverSends } from '../../src/send/recover.ts';
import { messageById } from '../../src/tracking/messages.ts';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { tryDueCopies } from '../support/due-copies.ts';
import { openGate } from '../support/gate.ts';
import { startMailService } from '../support/mail-service.ts';
import { payloadOf } from '../support/notify-run.ts';
import { startReceiver } from '../support/receiver.ts';
import { type Called, type Sender, startSender } from '../support/sender.ts';
import { eventually } from '../support/service.ts';
import { trackedPaths } from '../support/tracked-paths.ts';

const DEADLINE_MS = 1200;
const KIM = 'kim@example.com';
const LEE = 'lee@example.com';

it('connects, sends, counts and keeps a copy on a machine without mail servers', async (t) => {
  const [mail, webhook, service] = await Promise.all([startBareMail(), startReceiver(), startMailService()]);
  t.after(() => Promise.all([service.stop(), mail.close(), webhook.close()]));
  const triggers = ['message.opened', 'message.link_clicked'];
  const hook = await service.api('POST', '/v3/webhooks', { webhook_url: webhook.url, trigger_types: triggers });
  assert.equal(hook.status, 200, hook.text);

  const wrong = { ...settingsOf(mail), imap_password: 'mistyped' };
  const refused = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings: wrong });
  assert.equal(refused.status, 400, refused.text);
  const metadata = { ...settingsOf(mail), smtp_host: '169.254.169.254' };
  const blocked = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings: metadata });
  assert.equal(blocked.status, 400, blocked.text);
  assert.match(String(blocked.at('error.message')), /^settings\.smtp_host.*a metadata address/);
  const connected = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings: settingsOf(mail) });
  assert.equal(connected.status, 201, connected.text);
  const grant = connected.at('data.id');

  const body = '<p><a href="https://example.com/offer">Look</a></p>';
  const sent = await service.api('POST', `/v3/grants/${grant}/messages/send`, {
    to: [{ email: KIM }],
    subject: 'Hello',
    body,
    tracking_options: { opens: true, links: true },
  });
  assert.equal(sent.status, 200, sent.text);
  const received = await PostalMime.parse(mail.delivered()[0] ?? '');
  const { pixels, links } = trackedPaths(received.html ?? '');
  await (await fetch(service.url + pixels[0])).arrayBuffer();
  await webhook.arrived(1);
  const click = await fetch(service.url + links[0], { redirect: 'manual' });
  assert.equal(click.headers.get('location'), 'https://example.com/offer');
  const [opened, clicked] = await webhook.arrived(2);
  assert.equal(payloadOf(opened).data.object.message_data.count, 1);
  assert.deepEqual(payloadOf(clicked).data.object.link_data, [{ count: 1, url: 'https://example.com/offer' }]);

  const copy = await eventually('a copy lies in Sent', () => mail.folder('Sent')[0]);
  const kept = await PostalMime.parse(copy);
  assert.equal(kept.messageId, received.messageId);
  assert.equal(kept.html?.trim(), body);
  assert.equal(mail.delivered().length, 1);
  assert.equal(mail.folder('Sent').length, 1);
});

it('refuses a certificate that nobody vouches for, and says which setting may', async (t) => {
  const mail = await startBareMail({ security: 'starttls', host: '127.0.0.1' });
  const sender = await startSender();
  t.after(() => Promise.all([sender.close(), mail.close()]));
  const refused = await sender.call('POST', '/v3/connect/custom', { provider: 'imap', settings: settingsOf(mail) });
  assert.equal(refused.status, 400, refused.text);
  assert.match(String(refused.at('error.message')), /settings\.smtp_host.*TELLTALE_MAIL_CA_FILE/);
  assert.match(String(refused.at('error.message')), /settings\.imap_host.*TELLTALE_MAIL_CA_FILE/);
  assert.equal(mail.logins.smtp + mail.logins.imap, 0);
});

describe('mail servers that fail', () => {
  let mail: BareMail;
  let sender: Sender;
  let grant: string;

  before(async () => {
    mail = await startBareMail();
    sender = await startSender((deps) => ({ ...deps, deadlineMs: DEADLINE_MS }));
    grant = await connect();
  });
  after(async () => {
    await sender?.close();
    await mail?.close();
  });
  beforeEach(() => {
    Object.assign(mail.faults, { recipient: null, data: null, append: null });
    mail.cut();
  });

  const connect = async (): Promise<string> => {
    const connected = await sender.call('POST', '/v3/connect/custom', { provider: 'imap', settings: settingsOf(mail) });
    assert.equal(connected.status, 201, connected.text);
    return String(connected.at('data.id'));
  };
  let count = 0;
  interface Attempt {
    readonly answer: Called;
    /** How many mails of it were taken so far. */
    taken(): number;
    readonly subject: string;
  }
  const send = async (extra: object = {}): Promise<Attempt> => {
    const subject = `Attempt ${++count}`;
    const mailed = { to: [{ email: KIM }, { email: LEE }], subject, body: '<p>Hello</p>', ...extra };
    const answer = await sender.call('POST', `/v3/grants/${grant}/messages/send`, mailed);
    const taken = (): number => mail.delivered().filter((raw) => raw.includes(`Subject: ${subject}\r\n`)).length;
    return { answer, taken, subject };
  };
  const stateOfLast = async (): Promise<string | undefined> => {
    const [row] = await sender.database.sql<{ id: string; app: number }[]>`
      select app, id from messages order by created_at desc, id desc limit 1`;
    assert.ok(row);
    return (await messageById(sender.database.sql, row.app, row.id))?.state;
  };
  /** One pass of recovery, as it comes when some time has gone by. */
  const recover = async (): Promise<void> => {
    await sender.database.sql`update messages set state_at = state_at - interval '20 minutes'`;
    await recoverSends(sender.deps);
  };
  const goesOn = async (): Promise<void> => {
    mail.faults.data = null;
    mail.faults.recipient = null;
    const { answer, taken } = await send();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(taken(), 1);
  };

  it('gone within DATA: it may have had enough of it, so nobody knows, and nothing is sent again', async () => {
    mail.faults.data = 'cut-within';
    const { answer, taken } = await send();
    assert.equal(answer.status, 504, answer.text);
    assert.equal(await stateOfLast(), 'unknown');
    mail.faults.data = null;
    await recover();
    assert.equal(await stateOfLast(), 'unknown');
    assert.equal(taken(), 0);
    await goesOn();
  });

  it('gone after DATA: nobody knows; the Sent folder decides, and nothing is sent again', async () => {
    mail.faults.data = 'cut-after';
    const { answer, taken } = await send();
    assert.equal(answer.status, 504, answer.text);
    assert.match(String(answer.at('error.message')), /may have been sent all the same/);
    assert.equal(await stateOfLast(), 'unknown');
    assert.equal(taken(), 1);

    await recover();
    assert.equal(await stateOfLast(), 'unknown');
    // A server that keeps what it sends comes round to it.
    mail.put('Sent', mail.delivered().at(-1) ?? Buffer.of());
    await recover();
    assert.equal(await stateOfLast(), 'sent');
    assert.equal(taken(), 1);
    await goesOn();
  });

  it('silent after DATA: answered at the deadline as unknown', async () => {
    mail.faults.data = 'hang';
    const began = performance.now();
    const { answer, taken } = await send();
    assert.equal(answer.status, 504, answer.text);
    const took = performance.now() - began;
    assert.ok(took >= DEADLINE_MS - 50 && took < DEADLINE_MS + 1500, `${took} ms`);
    assert.equal(await stateOfLast(), 'unknown');
    assert.equal(taken(), 0);
    await goesOn();
  });

  it('gone once it has taken the mail, before QUIT: sent, each over a connection of its own', async (t) => {
    const gate = await openGate(mail.ports.smtp, { lastWords: 'Ok: taken' });
    t.after(async () => {
      await gate.shut();
      await connect();
    });
    const through = { ...settingsOf(mail), smtp_port: gate.port };
    const again = await sender.call('POST', '/v3/connect/custom', { provider: 'imap', settings: through });
    assert.equal(again.at('data.id'), grant);
    const before = mail.logins.smtp;
    for (let round = 1; round <= 3; round++) {
      const { answer, taken } = await send();
      assert.equal(answer.status, 200, answer.text);
      assert.equal(taken(), 1);
      assert.equal(mail.logins.smtp, before + round);
    }
  });

  it('cannot now: 503, with what it said', async () => {
    mail.faults.data = { code: 451, text: '4.3.0 Queue file write error' };
    const { answer, taken } = await send();
    assert.equal(answer.status, 503, answer.text);
    assert.match(answer.text, /Queue file write error/);
    assert.equal(await stateOfLast(), 'failed');
    assert.equal(taken(), 0);
    await goesOn();
  });

  it('too much: 429', async () => {
    mail.faults.data = { code: 452, text: '4.5.3 Your message has been rate limited, too many messages sent' };
    const { answer, taken } = await send();
    assert.equal(answer.status, 429, answer.text);
    assert.equal(taken(), 0);
    await goesOn();
  });

  it('refuses the mail: an error with what it said', async () => {
    mail.faults.data = { code: 554, text: '5.7.1 Message rejected as spam' };
    const { answer, taken } = await send();
    assert.equal(answer.status, 402, answer.text);
    assert.match(answer.text, /rejected as spam/);
    assert.equal(await stateOfLast(), 'failed');
    assert.equal(taken(), 0);
    await goesOn();
  });

  it('refuses one recipient: sent to the other, with a warning', async () => {
    mail.faults.recipient = (address) => (address === LEE ? { code: 550, text: '5.1.1 No such user' } : null);
    const { answer, taken } = await send();
    assert.equal(answer.status, 200, answer.text);
    assert.match(String(answer.at('warnings.0.message')), /lee@example\.com/);
    assert.equal(await stateOfLast(), 'sent');
    assert.equal(taken(), 1);
  });

  it('refuses every recipient: 402, and names them', async () => {
    mail.faults.recipient = () => ({ code: 550, text: '5.1.1 No such user' });
    const { answer, taken } = await send();
    assert.equal(answer.status, 402, answer.text);
    assert.match(answer.text, /lee@example\.com/);
    assert.equal(taken(), 0);
    await goesOn();
  });

  it('full, then cut: the copy is tried again and lies in Sent once', async () => {
    const { sql, deps } = { sql: sender.database.sql, deps: sender.deps };
    const counts = { kept: 0, there: 0, retried: 0, givenUp: 0 };
    const keepNow = async (): Promise<void> => {
      await sql`update sent_copies set next_attempt_at = now()`;
      await tryDueCopies({ ...deps, schedule: [0, 0, 0, 0] }, counts);
    };
    await sql`delete from sent_copies`;
    const { answer, subject } = await send({ body: '<p>Kept</p>' });
    assert.equal(answer.status, 200, answer.text);
    const inSent = (): number => mail.folder('Sent').filter((raw) => raw.includes(`Subject: ${subject}\r\n`)).length;

    mail.faults.append = 'NO [OVERQUOTA] Quota exceeded';
    await keepNow();
    assert.deepEqual([counts.retried, inSent()], [1, 0]);
    mail.faults.append = 'cut-after';
    await keepNow();
    assert.deepEqual([counts.retried, inSent()], [2, 1]);
    mail.faults.append = null;
    await keepNow();
    assert.deepEqual([counts.there, counts.retried, inSent()], [1, 2, 1]);
    const [left] = await sql<{ count: number }[]>`select count(*)::integer as count from sent_copies`;
    assert.equal(left?.count, 0);
  });

  it('takes all mails of a crowd once, while its connections are cut', async () => {
    const sends = Array.from({ length: 12 }, () => send());
    const cutting = setInterval(() => mail.cut(), 15);
    const done = await Promise.all(sends);
    clearInterval(cutting);
    for (const { answer, taken, subject } of done) {
      const { status } = answer;
      assert.ok(status === 200 || status === 503 || status === 504, answer.text);
      assert.ok(taken() <= 1, `${subject} was taken ${taken()} times`);
      if (status === 200) assert.equal(taken(), 1, subject);
      if (status === 503) assert.equal(taken(), 0, subject);
    }
    await goesOn();
  });
});

/** What a mailbox on these servers is connected with. */
function settingsOf(mail: BareMail): Record<string, unknown> {
  const { smtp, imap } = mail.credentials;
  return {
    imap_username: imap.user,
    imap_password: imap.password,
    imap_host: imap.host,
    imap_port: imap.port,
    imap_security: imap.security,
    smtp_host: smtp.host,
    smtp_port: smtp.port,
    smtp_security: smtp.security,
  };
}
