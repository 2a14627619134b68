// A notification leaves the whole service: from a reader's click to a customer's receiver, and over a kill between.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { payloadOf } from '../support/notify-run.ts';
import { descendants, killHard } from '../support/process-tree.ts';
import { flask, hang, type Receiver, startReceiver } from '../support/receiver.ts';
import { freePort, type Service, startService } from '../support/service.ts';
import { sendTracked } from '../support/tracked-message.ts';

const linux = process.platform === 'linux' ? {} : { skip: 'needs /proc' };

async function subscribe(service: Service, receiver: Receiver): Promise<string> {
  const made = await service.api('POST', '/v3/webhooks/', {
    trigger_types: ['message.opened', 'message.link_clicked', 'thread.replied'],
    webhook_url: receiver.url,
  });
  assert.equal(made.status, 200, made.text);
  return String(made.at('data.webhook_secret'));
}

it('a click and an open reach a receiver like the page’s, signed', async (t) => {
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const service = await startService();
  t.after(() => service.stop());
  receiver.behave(flask);
  const secret = await subscribe(service, receiver);
  const message = await sendTracked(service, ['https://espn.com', 'https://example.com/demo']);
  await (await fetch(service.url + message.pixel)).arrayBuffer();
  const [opened] = await receiver.arrived(1);
  assert.equal(payloadOf(opened).type, 'message.opened');
  assert.equal(payloadOf(opened).data.object.message_data.count, 1);

  const clicked = await fetch(service.url + (message.links[1] ?? ''), { redirect: 'manual' });
  assert.equal(clicked.headers.get('location'), 'https://example.com/demo');
  const click = (await receiver.arrived(2))[1];
  assert.ok(click);
  const { data, type } = payloadOf(click);
  assert.equal(type, 'message.link_clicked');
  assert.deepEqual(data.object.link_data, [
    { count: 0, url: 'https://espn.com' },
    { count: 1, url: 'https://example.com/demo' },
  ]);
  assert.equal(data.object.label, 'journey');
  const signature = createHmac('sha256', secret).update(click.body).digest('hex');
  assert.equal(click.headers['x-nylas-signature'], signature);
});

it('a SIGKILL in the middle of an attempt delays the notification, and that is all', linux, async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'telltale-notify-'));
  const port = await freePort();
  const receiver = await startReceiver();
  let service: Service | undefined;
  t.after(async () => {
    await service?.stop();
    await receiver.close();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
  });
  service = await startService({ dataDir, port });
  await subscribe(service, receiver);
  const message = await sendTracked(service);
  receiver.behave(hang);
  await (await fetch(service.url + message.pixel)).arrayBuffer();
  await receiver.arrived(1);
  const pid = service.child.pid ?? 0;
  for (const each of [pid, ...descendants(pid)]) killHard(each);
  await service.exited;
  receiver.behave(flask);
  service = await startService({ dataDir, port });
  const [first, second] = await receiver.arrived(2, 30_000); // the dead process's claim lasts 20 s
  assert.equal(payloadOf(first).id, payloadOf(second).id);
  assert.equal(payloadOf(first).webhook_delivery_attempt, 1);
  assert.equal(payloadOf(second).webhook_delivery_attempt, 2);
  assert.equal(payloadOf(second).data.object.message_data.count, 1);
});
