import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { notifyRun, payloadOf } from '../../test/support/notify-run.ts';
import { flask, hang } from '../../test/support/receiver.ts';
import { deleteGrant, expireGrant, saveGrant } from '../grants/grants.ts';
import { uuidTime } from '../ids.ts';

test('an open and a click arrive signed, as a Flask handler wants them', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver(flask);
  const { secret } = await ground.destination(target.url);
  const message = await ground.message(['https://espn.com', 'mailto:kim@shop.test'], 'trial');
  const notify = start();
  await ground.happen(message, {}, { link: 1 });
  notify.wakeFanout();
  const deliveries = await target.arrived(2);
  await rested('delivered', 2);

  const [opened, clicked] = [...deliveries].sort((a, b) => (payloadOf(a).type < payloadOf(b).type ? 1 : -1));
  assert.equal(payloadOf(opened).type, 'message.opened');
  assert.deepEqual(payloadOf(opened).data.object.message_data.count, 1);
  assert.deepEqual(payloadOf(clicked).data.object.link_data, [
    { count: 0, url: 'https://espn.com' },
    { count: 1, url: 'mailto:kim@shop.test' },
  ]);
  assert.equal(payloadOf(clicked).data.object.label, 'trial');
  assert.ok(clicked);
  assert.equal(clicked.headers['content-type'], 'application/json');
  const key = createHmac('sha256', secret).update(clicked.body).digest('hex');
  assert.equal(clicked.headers['x-nylas-signature'], key);
  const id = payloadOf(clicked).id;
  assert.match(id, /^ntf_/);
  assert.equal(clicked.headers['webhook-id'], id);
  const standard = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
    .update(`${id}.${clicked.headers['webhook-timestamp']}.${clicked.body}`)
    .digest('base64');
  assert.equal(clicked.headers['webhook-signature'], `v1,${standard}`);
  assert.equal(notify.counts.settled.delivered, 2);
});

test('a deleted grant is told of, signed, and so is what was told of it before', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const { sql, app, applicationId, vault, grantId } = ground;
  const target = await receiver();
  const { secret } = await ground.destination(target.url, {
    triggers: ['grant.created', 'grant.updated', 'grant.expired', 'grant.deleted'],
  });
  const email = 'sender@practice.test';
  await expireGrant(sql, app, grantId);
  const { grant: again } = await saveGrant({ sql, vault }, app, { provider: 'practice', email, scope: ['mail.send'] });
  assert.equal(again.id, grantId);
  await deleteGrant(sql, app, grantId);
  const { grant: fresh } = await saveGrant({ sql, vault }, app, { provider: 'imap', email });
  start().wakeFanout(); // only now, when the grant has gone
  const deliveries = await target.arrived(4);
  await rested('delivered', 4);

  const told = new Map(deliveries.map((request) => [payloadOf(request).type, payloadOf(request)]));
  const object = { grant_id: grantId, integration_id: 'imap', provider: 'imap', email };
  const [expired] = await sql<{ at: number }[]>`
    select (detail->>'updated_at')::integer as at from notifications where trigger = 'grant.expired'`;
  assert.ok(expired && Math.abs(expired.at - Date.now() / 1000) < 60);
  const expected = {
    'grant.expired': { code: 25009, ...object, grant_updated_at: expired.at },
    'grant.updated': { code: 25027, ...object, reauthentication_flag: true },
    'grant.deleted': { code: 25013, ...object },
    'grant.created': { code: 25012, ...object, grant_id: fresh.id, name: '', scope: [] },
  };
  for (const [type, data] of Object.entries(expected)) {
    assert.deepEqual(told.get(type)?.data, { application_id: applicationId, object: data }, type);
  }
  for (const { headers, body } of deliveries) {
    assert.equal(headers['x-nylas-signature'], createHmac('sha256', secret).update(body).digest('hex'));
  }
});

test('each notification tells the state at its own number', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url);
  const message = await ground.message(['https://a.test', 'https://b.test']);
  await ground.happen(message, ...Array.from({ length: 60 }, (_, at) => ({ link: at % 2, userAgent: `agent ${at}` })));
  const notify = start();
  notify.wakeFanout();
  const deliveries = await target.arrived(60);
  for (const request of deliveries) {
    const { link_data: links, recents } = payloadOf(request).data.object;
    const total = links.reduce((sum, link) => sum + link.count, 0);
    const newest = recents.at(-1);
    assert.equal(newest?.click_id, String(total - 1));
    assert.equal(newest?.user_agent, `agent ${total - 1}`);
    assert.equal(recents.length, Math.min(total, 50));
    assert.deepEqual(
      recents.map((event) => Number(event.click_id)),
      Array.from({ length: recents.length }, (_, at) => total - recents.length + at),
    );
  }
  assert.equal(new Set(deliveries.map((request) => payloadOf(request).id)).size, 60);
});

test('a compressed delivery is signed over its compressed bytes', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const target = await receiver();
  const { secret } = await ground.destination(target.url, { compressed: true });
  const message = await ground.message();
  const notify = start();
  await ground.happen(message, {});
  notify.wakeFanout();
  const [request] = await target.arrived(1);
  assert.ok(request);
  assert.equal(request.headers['content-encoding'], 'gzip');
  assert.equal(request.headers['content-type'], 'application/json');
  assert.equal(request.headers['x-nylas-signature'], createHmac('sha256', secret).update(request.body).digest('hex'));
  assert.equal(JSON.parse(gunzipSync(request.body).toString('utf8')).type, 'message.opened');
});

test('two processes share the work and deliver nothing twice', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url);
  const message = await ground.message();
  const both = [start(), start()];
  for (let batch = 0; batch < 10; batch++) {
    await ground.happen(message, ...Array.from({ length: 20 }, () => ({})));
    for (const one of both) one.wakeFanout();
  }
  await target.arrived(200);
  await rested('delivered', 200);
  assert.equal(target.deliveries.length, 200);
  const told = target.deliveries.map((request) => payloadOf(request).data.object.message_data.count);
  assert.deepEqual(
    told.sort((a, b) => a - b),
    Array.from({ length: 200 }, (_, at) => at + 1),
  );
});

test('stop waits for what is in flight', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const held: (() => void)[] = [];
  const target = await receiver((_request, response) => void held.push(() => response.writeHead(200).end()));
  await ground.destination(target.url);
  const notify = start();
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  const stopped = notify.stop();
  for (const answer of held) answer();
  await stopped;
  assert.equal((await ground.sql`select from deliveries where state = 'delivered'`).length, 1);
  assert.equal(notify.counts.inFlight, 0);
});

test('what hangs does not hold the stop longer than the service grants', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const target = await receiver(hang);
  await ground.destination(target.url);
  const notify = start({ attemptMs: 4_000 });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  const began = performance.now();
  await notify.stop();
  const took = performance.now() - began;
  assert.ok(took > 2_500 && took < 3_400, `${took} ms`);
});

test('the database tells the time: a process whose clock is ahead takes no part in that', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url);
  await ground.happen(await ground.message(), {});
  const real = Date.now;
  t.mock.method(Date, 'now', () => real() + 14 * 24 * 3_600_000);
  const notify = start();
  notify.wakeFanout();
  const [request] = await target.arrived(1);
  await rested('delivered', 1);
  const [row] = await ground.sql<{ id: string; settled: Date; happened: Date }[]>`
    select n.id, d.settled_at as settled, n.happened_at as happened
    from notifications n join deliveries d on d.notification_id = n.id`;
  assert.ok(row && request);
  for (const ms of [uuidTime(row.id), row.settled.getTime(), Number(request.headers['webhook-timestamp']) * 1000]) {
    assert.ok(Math.abs(ms - row.happened.getTime()) < 60_000, new Date(ms).toISOString());
  }
});
