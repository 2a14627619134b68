// Mails that leave later: when their time comes, or never.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fromWireId } from '../../src/ids.ts';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { type Gate, openGate } from '../support/gate.ts';
import { type Scheduled, type ScheduleGround, startScheduleGround } from '../support/schedule-ground.ts';
import { at, eventually } from '../support/service.ts';

let ground: ScheduleGround;
before(async () => {
  ground = await startScheduleGround(1, { TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8' });
});
after(async () => {
  await ground?.close();
});

/** Everything that was due before has left when this returns. */
async function fence(): Promise<void> {
  const other = await ground.schedule('Fence');
  await ground.due([other]);
  await ground.reaches(other, 'success');
}

const path = (kind: string, raw: string): string =>
  new RegExp(`"https?://[^/"]+(/${kind}/[^"]+)"`).exec(raw.replaceAll('=\r\n', '').replaceAll('=3D', '='))?.[1] ?? '';

describe('a scheduled mail', () => {
  it('waits, is shown, leaves once at its time, is tracked and told', async () => {
    const mail = await ground.schedule('Later', { metadata: { key1: 'a' } });
    assert.match(mail.scheduleId, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(mail.answer.at('data.send_at'), mail.sendAt);
    assert.equal(mail.answer.at('data.use_draft'), false);
    assert.equal(mail.answer.at('data.subject'), 'Later');
    assert.equal(mail.answer.at('grant_id'), ground.grant);
    const pending = { code: 'pending', description: 'schedule send awaiting send at time' };
    const shown = await ground.read(mail);
    assert.equal(shown.status, 200);
    assert.deepEqual(shown.at('data.status'), pending);
    assert.equal(shown.at('data.schedule_id'), mail.scheduleId);
    assert.equal(shown.at('data.close_time'), undefined);
    const list = await ground.nodes.api('GET', `/v3/grants/${ground.grant}/messages/schedules`);
    assert.deepEqual(list.at('data'), [shown.at('data')]);
    await fence();
    assert.equal(await ground.kept(mail), 0);

    await ground.due([mail]);
    const closed = await ground.reaches(mail, 'success');
    assert.deepEqual(closed.at('data.status'), { code: 'success', description: 'schedule send succeeded' });
    assert.ok(Math.abs(Number(closed.at('data.close_time')) - Date.now() / 1000) < 30);
    const success = await ground.isTold('message.send_success', mail);
    assert.equal(at(success, 'schedule_id'), mail.scheduleId);
    assert.equal(at(success, 'send_at'), closed.at('data.send_at'), 'its time as it was moved');
    assert.equal(at(success, 'subject'), 'Later');
    assert.equal(at(success, 'grant_id'), ground.grant);

    const raw = await ground.raw(mail);
    const { url } = ground.nodes.node(0);
    await (await fetch(url + path('o', raw))).arrayBuffer();
    const click = await fetch(url + path('c', raw), { redirect: 'manual' });
    assert.equal(click.headers.get('location'), 'https://example.com/demo');
    assert.equal(at(await ground.isTold('message.opened', mail), 'label'), 'Later');
    assert.equal(at(await ground.isTold('message.link_clicked', mail), 'label'), 'Later');
    const read = await ground.nodes.api('GET', `/v3/grants/${ground.grant}/messages/${mail.id}`);
    assert.equal(read.at('data.subject'), 'Later');
    await fence();
    assert.equal(await ground.kept(mail), 1);
    assert.equal(ground.told('message.send_success', mail).length, 1);
  });

  it('leaves with its attachments, recipients and thread', async () => {
    const first = await ground.schedule('Root');
    await ground.due([first]);
    await ground.reaches(first, 'success');
    const mail = await ground.schedule('Re: Root', {
      reply_to_message_id: first.id,
      cc: [{ email: 'cc@example.com' }],
      bcc: [{ email: 'bcc@example.com' }],
      attachments: [{ filename: 'a.txt', content_type: 'text/plain', content: 'YXR0YWNoZWQ=' }],
    });
    assert.equal(mail.answer.at('data.thread_id'), first.answer.at('data.thread_id'));
    assert.equal(mail.answer.at('data.attachments.0.size'), 8);
    await ground.due([mail]);
    await ground.reaches(mail, 'success');
    const raw = await ground.raw(mail);
    assert.match(raw, /^Cc: cc@example\.com/im);
    assert.match(raw, /YXR0YWNoZWQ=/);
    assert.match(raw, /^In-Reply-To: </im);
    await eventually('nothing of it is held any more', async () => {
      const held = await ground.nodes.sql`select from blobs where keep_until is null`;
      return held.length === 0 ? true : undefined;
    });
  });

  for (const [name, sendAt] of [
    ['59 seconds ahead', () => Math.floor(Date.now() / 1000) + 59],
    ['in the past', () => 1],
    ['in milliseconds', () => Date.now() + 3_600_000],
    ['within a second', () => Date.now() / 1000 + 3600.5],
    ['31 days ahead', () => Math.floor(Date.now() / 1000) + 31 * 24 * 3600],
    ['as text', () => String(Math.floor(Date.now() / 1000) + 3600)],
  ] as const) {
    it(`cannot be asked for ${name}`, async () => {
      const body = { to: [{ email: 'kim@example.com' }], subject: name, send_at: sendAt() };
      const answer = await ground.nodes.api('POST', `/v3/grants/${ground.grant}/messages/send`, body);
      assert.equal(answer.status, 400, answer.text);
      assert.match(String(answer.at('error.message')), /^send_at /);
      const rows = await ground.nodes.sql`select from messages where subject = ${name}`;
      assert.equal(rows.length, 0);
    });
  }

  it('is scheduled once under an Idempotency-Key, also where the answer was lost', async () => {
    const key = { 'idempotency-key': 'scheduled-once' };
    const body = {
      to: [{ email: 'kim@example.com' }],
      subject: 'Key',
      body: 'x',
      send_at: Math.floor(Date.now() / 1000) + 3600,
    };
    const send = () => ground.nodes.api('POST', `/v3/grants/${ground.grant}/messages/send`, body, key);
    const first = await send();
    const second = await send();
    await ground.nodes.sql`update idempotent_requests set status = null, answer = null, answered_at = null`;
    const third = await send();
    const mail: Scheduled = {
      scheduleId: String(first.at('data.schedule_id')),
      id: String(first.at('data.id')),
      sendAt: body.send_at,
      answer: first,
    };
    await ground.due([mail]);
    await ground.reaches(mail, 'success');
    await ground.nodes.sql`update idempotent_requests set status = null, answer = null, answered_at = null`;
    const fourth = await send();
    for (const answer of [second, third, fourth]) {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.headers.get('idempotent-response'), 'true');
      assert.deepEqual(Object(answer.at('data')).schedule_id, mail.scheduleId);
      assert.deepEqual({ ...Object(answer.at('data')), date: 0 }, { ...Object(first.at('data')), date: 0 });
    }
    await fence();
    assert.equal(await ground.kept(mail), 1);
    const rows = await ground.nodes.sql`select from schedules where message_id = ${fromWireId('msg', mail.id)}`;
    assert.equal(rows.length, 1);
  });
});

describe('a cancelled one', () => {
  it('never leaves', async () => {
    const mail = await ground.schedule('Cancelled', {
      attachments: [{ filename: 'a.txt', content_type: 'text/plain', content: 'YQ==' }],
    });
    const cancelled = await ground.cancel(mail);
    assert.equal(cancelled.status, 202);
    assert.deepEqual(cancelled.at('data'), { message: 'requested cancelation for workflow' });
    await ground.due([mail]);
    await fence();
    assert.equal(await ground.kept(mail), 0);
    assert.equal((await ground.read(mail)).at('data.status.code'), 'cancelled');
    const again = await ground.cancel(mail);
    assert.equal(again.status, 400, again.text);
    assert.deepEqual(ground.told('message.send_failed', mail), []);
    assert.equal((await ground.nodes.sql`select from blobs where keep_until is null`).length, 0);
  });

  it('is told where it left before', async () => {
    const mail = await ground.schedule('Left');
    await ground.due([mail]);
    await ground.reaches(mail, 'success');
    const late = await ground.cancel(mail);
    assert.equal(late.status, 400);
    assert.match(String(late.at('error.message')), /^schedule_id cannot be cancelled any more/);
    assert.equal((await ground.read(mail)).at('data.status.code'), 'success');
  });

  it('has to be there', async () => {
    const mail = await ground.schedule('Named wrongly');
    for (const name of ['00000000-0000-4000-8000-000000000000', 'nonsense', mail.id]) {
      assert.equal((await ground.cancel({ scheduleId: name })).status, 404, name);
      assert.equal((await ground.read({ scheduleId: name })).status, 404, name);
    }
    assert.equal((await ground.cancel(mail)).status, 202);
  });

  it('or sent, whichever is first: never both', async () => {
    const mails: Scheduled[] = [];
    for (let number = 0; number < 40; number++) mails.push(await ground.schedule(`Race ${number}`));
    const answers = await Promise.all(
      mails.map(async (mail, number) => {
        if (number % 2 === 0) await ground.due([mail]);
        const [answer] = await Promise.all([ground.cancel(mail), number % 2 === 1 ? ground.due([mail]) : null]);
        return answer;
      }),
    );
    await fence();
    for (const [number, mail] of mails.entries()) {
      const isCancelled = answers[number]?.status === 202;
      await ground.reaches(mail, isCancelled ? 'cancelled' : 'success');
      assert.equal(await ground.kept(mail), isCancelled ? 0 : 1, `${number}`);
    }
  });
});

describe('what may come between', () => {
  it('a restart', async () => {
    const mail = await ground.schedule('Restart');
    assert.equal(await ground.nodes.node(0).stop(), 0);
    await ground.nodes.start(0);
    await ground.due([mail]);
    await ground.reaches(mail, 'success');
    assert.equal(await ground.kept(mail), 1);
  });

  it('a service that is down when the time comes: it is sent at its start', async () => {
    const mail = await ground.schedule('Down');
    assert.equal(await ground.nodes.node(0).stop(), 0);
    await ground.due([mail], 3600);
    await ground.nodes.start(0);
    await ground.reaches(mail, 'success');
    await fence();
    assert.equal(await ground.kept(mail), 1);
    assert.equal(ground.told('message.send_success', mail).length, 1);
  });

  it('more time than the grace: it is told, not sent', async () => {
    const mail = await ground.schedule('Late');
    await ground.due([mail], 25 * 3600);
    const failed = await ground.reaches(mail, 'failed');
    assert.match(String(failed.at('data.status.description')), /could not be within 1440 minutes after that/);
    const told = await ground.isTold('message.send_failed', mail);
    assert.equal(at(told, 'schedule_id'), mail.scheduleId);
    assert.equal(await ground.kept(mail), 0);
  });

  it('a grant that expires: it is told, and not sent after it is authenticated again', async () => {
    const mail = await ground.schedule('Expired');
    await ground.nodes.sql`update grants set state = 'expired' where id = ${ground.grant}`;
    await ground.due([mail]);
    const told = await ground.isTold('message.send_failed', mail);
    assert.equal(at(told, 'schedule_id'), mail.scheduleId);
    await ground.nodes.sql`update grants set state = 'valid' where id = ${ground.grant}`;
    await ground.reaches(mail, 'failed');
    await fence();
    assert.equal(await ground.kept(mail), 0);
  });
});

describe('through mail servers', () => {
  let mail: BareMail;
  let smtp: Gate;
  let grant: string;
  before(async () => {
    mail = await startBareMail();
    smtp = await openGate(mail.credentials.smtp.port);
    grant = await connected();
  });
  after(async () => {
    await smtp?.shut();
    await mail?.close();
  });
  async function connected(): Promise<string> {
    const { smtp: out, imap } = mail.credentials;
    const made = await ground.nodes.api('POST', '/v3/connect/custom', {
      provider: 'imap',
      settings: {
        imap_username: imap.user,
        imap_password: imap.password,
        imap_host: imap.host,
        imap_port: imap.port,
        smtp_host: out.host,
        smtp_port: smtp.port,
      },
    });
    assert.equal(made.status, 201, made.text);
    return String(made.at('data.id'));
  }
  const delivered = (subject: string): number =>
    mail.delivered().filter((raw) => raw.includes(`Subject: ${subject}\r\n`)).length;

  it('what one grant scheduled is nothing that another has', async () => {
    const mine = await ground.schedule('Mine', { tracking_options: {} }, grant);
    assert.equal((await ground.read(mine)).status, 404);
    assert.equal((await ground.cancel(mine)).status, 404);
    assert.equal((await ground.cancel(mine, grant)).status, 202);
  });

  it('one that cannot be reached is tried again, and gets it once', async () => {
    const sent = await ground.schedule('Unreachable', { tracking_options: {} }, grant);
    await smtp.shut();
    await ground.due([sent]);
    await eventually('it is put off', async () => {
      const [row] = await ground.nodes.sql`
        select from schedules where id = ${sent.scheduleId} and attempts = 1 and next_try_at > now()`;
      return row;
    });
    assert.equal((await ground.read(sent, grant)).at('data.status.code'), 'pending');
    assert.deepEqual(ground.told('message.send_failed', sent), []);
    await smtp.open();
    await ground.due([sent]);
    await ground.reaches(sent, 'success', grant);
    assert.equal(delivered('Unreachable'), 1);
    await ground.isTold('message.send_success', sent);
  });

  it('one that is never reached is told after the last try', async () => {
    const sent = await ground.schedule('Never', { tracking_options: {} }, grant);
    await smtp.shut();
    for (let attempt = 1; attempt <= 5; attempt++) {
      await ground.due([sent]);
      await eventually(`it is put off ${attempt} times`, async () => {
        const [row] = await ground.nodes.sql`
          select from schedules where id = ${sent.scheduleId} and attempts = ${attempt} and next_try_at > now()`;
        return row;
      });
    }
    await ground.due([sent]);
    await ground.reaches(sent, 'failed', grant);
    assert.match(String(at(await ground.isTold('message.send_failed', sent), 'schedule_id')), /-/);
    await smtp.open();
    assert.equal(delivered('Never'), 0);
  });

  it('one that refuses it: it is told with the words of the server', async () => {
    const sent = await ground.schedule('Refused', { tracking_options: {} }, grant);
    mail.faults.data = { code: 554, text: '5.7.1 Rejected as spam' };
    await ground.due([sent]);
    const failed = await ground.reaches(sent, 'failed', grant);
    assert.match(String(failed.at('data.status.description')), /Rejected as spam/);
    const told = await ground.isTold('message.send_failed', sent);
    assert.equal(at(told, 'schedule_id'), sent.scheduleId);
    mail.faults.data = null;
    await fence();
    assert.equal(delivered('Refused'), 0);
  });

  it('a grant that is deleted: what it had scheduled is cancelled, and nothing of it stays', async () => {
    const sent = await ground.schedule(
      'Deleted',
      { tracking_options: {}, attachments: [{ filename: 'a', content_type: 'text/plain', content: 'YQ==' }] },
      grant,
    );
    assert.equal((await ground.nodes.api('DELETE', `/v3/grants/${grant}`)).status, 200);
    await ground.due([sent]);
    await eventually('it is cancelled', async () => {
      const [row] = await ground.nodes.sql`
        select from messages where id = ${fromWireId('msg', sent.id)} and state = 'cancelled'`;
      return row;
    });
    const [row] = await ground.nodes.sql<{ mail: string | null }[]>`
      select mail from schedules where id = ${sent.scheduleId}`;
    assert.equal(row?.mail, null);
    assert.equal((await ground.nodes.sql`select from blobs where keep_until is null`).length, 0);
    await fence();
    assert.equal(delivered('Deleted'), 0);
  });
});
