// Order is not promised. But of what tells of one message, the later state leaves after the earlier while the receiver is well.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { notifyRun, payloadOf } from '../support/notify-run.ts';

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
