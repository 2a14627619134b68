import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notifyRun, until } from '../../test/support/notify-run.ts';
import type { Received } from '../../test/support/receiver.ts';
import { status } from '../../test/support/receiver.ts';
import { wireId } from '../ids.ts';
import { rotateSecret } from './rotation.ts';
import { nylasSignature, signatureHeaders } from './sign.ts';

test('the attempt before a rotation is signed with the old secret, the next one of the same delivery with the new', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver(status(500));
  const made = await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  await target.arrived(1);
  await until('the first attempt is kept', async () => (await ground.sql`select from attempts`).length === 1);

  const { secret } = await rotateSecret(ground, ground.app, wireId('wh', made.id));
  target.behave(status(200));
  clock.ms += 5_000;
  notify.wakeDeliver();
  const [before, after] = await target.arrived(2);
  await rested('delivered', 1);
  assert.equal(before?.headers['webhook-id'], after?.headers['webhook-id']);
  assert.deepEqual(signers(before, made.secret, secret), [true, false]);
  assert.deepEqual(signers(after, made.secret, secret), [false, true]);
  assert.deepEqual(standardSigners(before, made.secret, secret), [true, false]);
  assert.deepEqual(standardSigners(after, made.secret, secret), [true, true]);
});

test('for a day an old secret signs beside the new one, whatever else is rotated meanwhile', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const target = await receiver();
  const made = await ground.destination(target.url);
  const clock = { ms: Date.now() };
  const notify = start({ clock });
  const message = await ground.message();
  const deliver = async (count: number): Promise<Received | undefined> => {
    await ground.happen(message, {});
    notify.wakeFanout();
    await rested('delivered', count);
    return target.deliveries[count - 1];
  };
  const rotate = async (): Promise<string> => {
    const deps = { ...ground, now: () => clock.ms };
    return (await rotateSecret(deps, ground.app, wireId('wh', made.id))).secret;
  };
  const second = await rotate();
  clock.ms += 12 * 3_600_000;
  const third = await rotate();
  assert.deepEqual(standardSigners(await deliver(1), made.secret, second, third), [true, true, true]);
  clock.ms += 12 * 3_600_000 - 1;
  assert.deepEqual(standardSigners(await deliver(2), made.secret, second, third), [true, true, true]);
  clock.ms += 1;
  assert.deepEqual(standardSigners(await deliver(3), made.secret, second, third), [false, true, true]);
  for (let more = 0; more < 10; more++) await rotate();
  assert.equal(String((await deliver(4))?.headers['webhook-signature']).split(' ').length, 5);
  clock.ms += 24 * 3_600_000;
  assert.equal(String((await deliver(5))?.headers['webhook-signature']).split(' ').length, 1);
});

test('an attempt that is under way while its secret is rotated ends as it began', async (t) => {
  const { ground, start, receiver, rested } = await notifyRun(t);
  const waiting: (() => void)[] = [];
  const target = await receiver((_request, response) => waiting.push(() => response.writeHead(200).end()));
  const made = await ground.destination(target.url);
  const notify = start();
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  const [request] = await target.arrived(1);
  const { secret } = await rotateSecret(ground, ground.app, wireId('wh', made.id));
  for (const answer of waiting) answer();
  assert.deepEqual(await rested('delivered', 1), [{ attempts: 1 }]);
  assert.deepEqual(signers(request, made.secret, secret), [true, false]);
});

test('of rotations at the same time one wins, and its secret is the one that signs', async (t) => {
  const { ground, start, receiver } = await notifyRun(t);
  const target = await receiver();
  const made = await ground.destination(target.url);
  const id = wireId('wh', made.id);
  const rotations = await Promise.all([1, 2, 3, 4].map(() => rotateSecret(ground, ground.app, id)));
  const notify = start();
  await ground.happen(await ground.message(), {});
  notify.wakeFanout();
  const [request] = await target.arrived(1);
  const secrets = rotations.map(({ secret }) => secret);
  assert.equal(new Set(secrets).size, 4);
  assert.deepEqual(signers(request, made.secret, ...secrets).filter(Boolean), [true]);
  assert.equal(signers(request, made.secret)[0], false);
});

/** Which of the secrets signed the request. */
function signers(request: Received | undefined, ...secrets: readonly string[]): readonly boolean[] {
  assert.ok(request);
  return secrets.map((secret) => nylasSignature(secret, request.body) === request.headers['x-nylas-signature']);
}

/** Which of the secrets signed it as Standard Webhooks has it. */
function standardSigners(request: Received | undefined, ...secrets: readonly string[]): readonly boolean[] {
  assert.ok(request);
  const { body, headers } = request;
  const given = String(headers['webhook-signature']).split(' ');
  const [id, timestamp] = [String(headers['webhook-id']), Number(headers['webhook-timestamp'])];
  return secrets.map((secret) =>
    given.includes(signatureHeaders([secret], { id, body, timestamp })['webhook-signature'] ?? ''),
  );
}
