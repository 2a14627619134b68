// Order is not promised. But of what tells of one message, the later state leaves after the earlier while the receiver is well.
import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { uuidv7 } from '../../src/ids.ts';
import type { Notify } from '../../src/notify/start.ts';
import { notifyRun, payloadOf, type Run, until } from '../support/notify-run.ts';
import { everyTopic, published } from '../support/pubsub-wire.ts';
import type { Received, Receiver } from '../support/receiver.ts';

it('a thousand events of one message arrive in their order, but for neighbours on two connections', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  await ground.setting('max_notifications_per_minute', 1_000_000);
  const target = await receiver((_request, response) => {
    setTimeout(() => response.writeHead(200).end(), Math.random() * 20);
  });
  await ground.destination(target.url);
  const notify = start();
  const message = await ground.message();
  for (let batch = 0; batch < 10; batch++) {
    await ground.happen(message, ...Array.from({ length: 100 }, () => ({})));
    notify.wakeFanout();
  }
  await rested('delivered', 1_000);
  let newest = 0;
  const overtaken: number[] = [];
  for (const request of target.deliveries) {
    const { count } = payloadOf(request).data.object.message_data;
    if (count < newest) overtaken.push(newest - count);
    newest = Math.max(newest, count);
  }
  t.diagnostic(`${overtaken.length} of 1,000 overtaken, by ${Math.max(0, ...overtaken)} at most`);
  assert.ok(overtaken.length <= 20, `${overtaken.length} overtaken`);
  assert.ok(
    overtaken.every((by) => by <= 3),
    `by ${Math.max(...overtaken)}`,
  );
});

it('the first connection may take longest: what comes after it about the same message waits for it', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const target = await receiver();
  await ground.destination(target.url.replace('127.0.0.1', 'receiver.test'));
  let connections = 0;
  const names = {
    lookUp: (): Promise<readonly string[]> =>
      new Promise((resolve) => setTimeout(() => resolve(['127.0.0.1']), connections++ === 0 ? 400 : 0)),
  };
  const message = await ground.message();
  await ground.happen(message, {}, {}, {});
  await ground.happen(await ground.message(['https://a.test']), { link: 0 }); // another one need not wait for them
  const notify = start({ names });
  notify.wakeFanout();
  await target.arrived(4);
  const [click, ...opens] = target.deliveries;
  assert.equal(payloadOf(click).type, 'message.link_clicked');
  for (const open of opens)
    assert.ok(click && open.at - click.at > 200, `${open.at - (click?.at ?? 0)} ms after the click`);
});

it('a topic gets what is about one message after it took the one before, and however long that takes, none fails of it', async (t) => {
  const { run, google, open } = await topic(t);
  const held: (() => void)[] = [];
  google.behave((request, response) => {
    if (held.length === 0) held.push(() => everyTopic(request, response));
    else everyTopic(request, response);
  });
  const notify = await open(3);
  await google.arrived(1);
  await run.ground.happen(await run.ground.message(), {});
  notify.wakeFanout();
  await google.arrived(2); // another message need not wait for it
  await delay(1_600); // far longer than one waits to leave for a webhook
  assert.equal(google.deliveries.length, 2);
  for (const release of held) release();
  await run.rested('delivered', 4);
  assert.deepEqual(google.deliveries.map(countOf), [1, 1, 2, 3]);
  const long = await run.ground.sql`select from attempts where duration_ms > 500`;
  assert.equal(long.length, 1); // only the one that was held
});

it('what has not left when the service stops is left to the next one', async (t) => {
  const { run, google, open } = await topic(t);
  const held: (() => void)[] = [];
  google.behave((request, response) => void held.push(() => everyTopic(request, response)));
  const notify = await open(2);
  await google.arrived(1);
  await notify.stop(); // gives up the wait for what hangs
  for (const release of held) release();
  await until('the first is kept', async () => (await run.ground.sql`select from attempts`).length === 1);
  await delay(100);
  assert.equal(google.deliveries.length, 1);
});

interface TopicRun {
  readonly run: Run;
  readonly google: Receiver;
  /** Starts, and opens one message so many times. */
  open(times: number): Promise<Notify>;
}

async function topic(t: TestContext): Promise<TopicRun> {
  const run = await notifyRun(t);
  const { sql, app } = run.ground;
  const google = await run.receiver(everyTopic);
  await sql`
    insert into destinations (app, id, kind, address, triggers, status)
    values (${app}, ${uuidv7()}, 'pubsub', 'projects/my-project/topics/tracking', '{message.opened}', 'active')`;
  return {
    run,
    google,
    async open(times) {
      await run.ground.happen(await run.ground.message(), ...Array.from({ length: times }, () => ({})));
      const notify = run.start({ pubsubEmulator: `127.0.0.1:${google.port}` });
      notify.wakeFanout();
      return notify;
    },
  };
}

function countOf(request: Received): number {
  return JSON.parse(published(request).data.toString('utf8')).data.object.message_data.count;
}
