// What is told of sends through mail servers that refuse, break off and come round.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { updateApplication } from '../../src/grants/applications.ts';
import { fromWireId } from '../../src/ids.ts';
import { recoverSends } from '../../src/send/recover.ts';
import { readSendDetail } from '../../src/tracking/send-facts.ts';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { type Called, type Sender, startSender } from '../support/sender.ts';

const KIM = 'kim@example.com';
const LEE = 'lee@example.com';

describe('what is told of a send through mail servers', () => {
  let mail: BareMail;
  let sender: Sender;
  let grant: string;

  before(async () => {
    mail = await startBareMail();
    sender = await startSender((deps) => ({ ...deps, deadlineMs: 1200 }));
    const { smtp, imap } = mail.credentials;
    const settings = {
      imap_username: imap.user,
      imap_password: imap.password,
      imap_host: imap.host,
      imap_port: imap.port,
      smtp_host: smtp.host,
      smtp_port: smtp.port,
    };
    const connected = await sender.call('POST', '/v3/connect/custom', { provider: 'imap', settings });
    assert.equal(connected.status, 201, connected.text);
    grant = String(connected.at('data.id'));
  });
  after(async () => {
    await sender?.close();
    await mail?.close();
  });
  beforeEach(async () => {
    Object.assign(mail.faults, { recipient: null, data: null });
    await sender.database.sql`truncate outbox`;
  });

  const tellAll = async (notifySends: boolean): Promise<void> => {
    await updateApplication(sender.database.sql, sender.grant.app, { settings: { notifySends } });
  };
  const send = (): Promise<Called> =>
    sender.call('POST', `/v3/grants/${grant}/messages/send`, {
      to: [{ email: KIM }, { email: LEE }],
      subject: 'Renewal',
      body: '<p>Hello</p>',
    });
  const told = async () => {
    const rows = await sender.database.sql<{ trigger: string; message_id: string; detail: unknown }[]>`
      select trigger, message_id, detail from outbox order by position`;
    return rows.map((row) => ({ ...row, detail: readSendDetail(row.detail) }));
  };
  const triggers = async (): Promise<readonly string[]> => (await told()).map(({ trigger }) => trigger);
  /** Several processes at once, when some time has gone by. */
  const recover = async (): Promise<void> => {
    await sender.database.sql`update messages set state_at = state_at - interval '20 minutes'`;
    await Promise.all([recoverSends(sender.deps), recoverSends(sender.deps), recoverSends(sender.deps)]);
  };

  it('refused with a 5xx: failed, in the words of the server and of the answer', async () => {
    await tellAll(true);
    mail.faults.data = { code: 554, text: '5.7.1 Message rejected as spam' };
    const answer = await send();
    assert.equal(answer.status, 402, answer.text);
    const [fact, ...more] = await told();
    assert.deepEqual([fact?.trigger, more.length], ['message.send_failed', 0]);
    const { reason, error } = fact?.detail?.failure ?? {};
    assert.equal(reason, answer.at('error.message'));
    assert.match(error?.message ?? '', /^554.*rejected as spam/);
    assert.deepEqual(
      { ...error, message: '' },
      {
        type: 'api.provider_error',
        message: '',
        statusCode: 554,
        providerError: { code: '554', ...Object(answer.at('error.provider_error')) },
      },
    );
    assert.deepEqual(
      fact?.detail?.to.map(({ email }) => email),
      [KIM, LEE],
    );
  });

  it('every recipient refused: failed', async () => {
    await tellAll(true);
    mail.faults.recipient = () => ({ code: 550, text: '5.1.1 No such user' });
    const answer = await send();
    assert.equal(answer.status, 402, answer.text);
    const [fact, ...more] = await told();
    assert.deepEqual([fact?.trigger, more.length], ['message.send_failed', 0]);
    const { statusCode, providerError } = fact?.detail?.failure?.error ?? {};
    assert.equal(statusCode, 550);
    assert.deepEqual(providerError, { code: '550', ...Object(answer.at('error.provider_error')) });
  });

  it('one recipient refused: sent', async () => {
    await tellAll(true);
    mail.faults.recipient = (address) => (address === LEE ? { code: 550, text: '5.1.1 No such user' } : null);
    const answer = await send();
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(await triggers(), ['message.send_success']);
  });

  it('taken, with a copy to keep: told and the copy queued in one', async () => {
    await tellAll(true);
    const answer = await send();
    const [fact, ...more] = await told();
    assert.deepEqual([fact?.trigger, more.length], ['message.send_success', 0]);
    assert.equal(fact?.message_id, fromWireId('msg', String(answer.at('data.id'))));
    assert.equal(
      (await sender.database.sql`select from sent_copies where message_id = ${fact?.message_id ?? ''}`).length,
      1,
    );
  });

  it('broken off after the mail was given: told once the Sent folder shows it, though no send is told', async () => {
    await tellAll(false);
    mail.faults.data = 'cut-after';
    const answer = await send();
    assert.equal(answer.status, 504, answer.text);
    await recover();
    assert.deepEqual(await triggers(), []);
    mail.put('Sent', mail.delivered().at(-1) ?? Buffer.of());
    await recover();
    await recover();
    const [fact, ...more] = await told();
    assert.deepEqual([fact?.trigger, more.length], ['message.send_success', 0]);
    assert.equal(fact?.message_id, fromWireId('msg', String(answer.at('error.provider_error.message_id'))));
    assert.deepEqual([fact?.detail?.subject, fact?.detail?.to], ['Renewal', []]);
  });

  it('answered, and no send is told: nothing', async () => {
    await tellAll(false);
    assert.equal((await send()).status, 200);
    mail.faults.data = { code: 451, text: '4.3.0 Queue file write error' };
    assert.equal((await send()).status, 503);
    assert.deepEqual(await told(), []);
  });
});
