// What is under way keeps the bytes that are sent, and nothing of what was sent before.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { emit } from '../../src/db/outbox.ts';
import { mailFact } from '../../src/tracking/mail-facts.ts';
import { notifyRun, until } from '../support/notify-run.ts';
import { hang } from '../support/receiver.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** Megabytes of objects and strings; buffers are not among them. */
function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed / 1e6;
}

it('deliveries that hang keep no text of theirs', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const { sql, app, grantId } = ground;
  const target = await receiver(hang);
  for (let one = 0; one < 4; one++) await ground.destination(`${target.url}/${one}`, { triggers: ['message.created'] });
  const people = [{ name: '', email: 'a@shop.test' }];
  for (let one = 0; one < 4; one++) {
    const fact = mailFact({
      app,
      grantId,
      happenedAt: new Date(),
      provider: 'imap',
      id: `mail-${one}`,
      threadId: 'thread',
      subject: 'Renewal',
      from: people,
      to: people,
      cc: [],
      bcc: [],
      replyTo: [],
      date: 1_795_295_583,
      body: 'a'.repeat(900_000),
      snippet: '',
      starred: false,
      unread: true,
      folders: [],
      attachments: [],
    });
    await sql.begin((tx) => emit(tx, [fact]));
  }
  const before = heap();
  start().wakeFanout();
  await target.arrived(16);
  // What was read last may not have been let go of yet.
  await until('less than 5 MB are held for 16 bodies of 0.9 MB', async () => heap() - before < 5);
});

it('a destination that is never idle keeps nothing of what it was sent', async (t) => {
  const { ground, start, receiver, fannedOut } = await notifyRun(t);
  await ground.setting('max_notifications_per_minute', 1_000_000);
  const target = await receiver((_request, response) => {
    setTimeout(() => response.writeHead(200).end(), 5); // others of it are always under way
  });
  await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  const message = await ground.message();
  for (let batch = 0; batch < 4; batch++) {
    await ground.happen(message, ...Array.from({ length: 500 }, () => ({})));
    notify.wakeFanout();
  }
  await fannedOut();
  await target.arrived(600, 30_000);
  const before = heap();
  await target.arrived(1_600, 30_000);
  const more = heap() - before;
  assert.ok(more < 10, `${more.toFixed(1)} MB more after 1,000 deliveries`);
});
