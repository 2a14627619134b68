import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answer, makeNames, NameError, type Resolver } from './names.ts';

function fail(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error(code), { code }));
}

function answer(...addresses: string[]): Promise<readonly Answer[]> {
  return Promise.resolve(addresses.map((address) => ({ address, ttl: 30 })));
}

function resolver(v4: () => Promise<readonly Answer[]>, v6: () => Promise<readonly Answer[]>): () => Resolver {
  return () => ({ resolve4: v4, resolve6: v6 });
}

const nothing = async (): Promise<string> => '';

test('both families are answered', async () => {
  const names = makeNames({
    resolver: resolver(
      () => answer('192.0.2.1'),
      () => answer('2001:db8::1'),
    ),
    hosts: nothing,
  });
  assert.deepEqual(await names.lookUp('example.com'), ['192.0.2.1', '2001:db8::1']);
});

test('one family is enough, whichever it is', async () => {
  const only4 = makeNames({
    resolver: resolver(
      () => answer('192.0.2.1'),
      () => fail('ENODATA'),
    ),
    hosts: nothing,
  });
  assert.deepEqual(await only4.lookUp('example.com'), ['192.0.2.1']);
  const only6 = makeNames({
    resolver: resolver(
      () => fail('ENODATA'),
      () => answer('2001:db8::1'),
    ),
    hosts: nothing,
  });
  assert.deepEqual(await only6.lookUp('example.com'), ['2001:db8::1']);
});

test('an IPv6 question that is never answered does not hold up IPv4', async () => {
  const names = makeNames({
    resolver: resolver(
      () => answer('192.0.2.1'),
      () => new Promise(() => {}),
    ),
    hosts: nothing,
  });
  assert.deepEqual(await names.lookUp('example.com'), ['192.0.2.1']);
});

test('a name without addresses is a NameError with its cause', async () => {
  const names = makeNames({
    resolver: resolver(
      () => fail('ENOTFOUND'),
      () => fail('ENOTFOUND'),
    ),
    hosts: nothing,
  });
  await assert.rejects(names.lookUp('nowhere.test'), (error) => {
    assert.ok(error instanceof NameError);
    assert.equal(error.message, 'nowhere.test could not be resolved (ENOTFOUND)');
    return true;
  });
});

test('the hosts file comes first, comments and case aside', async () => {
  const names = makeNames({
    resolver: resolver(
      () => fail('EREFUSED'),
      () => fail('EREFUSED'),
    ),
    hosts: async () => '# local\n10.0.0.5\tReceiver receiver.internal # ours\n::5 receiver\nnonsense receiver\n',
  });
  assert.deepEqual(await names.lookUp('RECEIVER'), ['10.0.0.5', '::5']);
  assert.deepEqual(await names.lookUp('receiver.internal.'), ['10.0.0.5']);
});

test('localhost is never asked of a name server', async () => {
  const names = makeNames({
    resolver: resolver(
      () => answer('192.0.2.1'),
      () => answer(),
    ),
    hosts: nothing,
  });
  assert.deepEqual(await names.lookUp('localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(await names.lookUp('hook.localhost'), ['127.0.0.1', '::1']);
});

test('an answer is kept for its time to live, a failure for three seconds, and a crowd asks once', async () => {
  let asked = 0;
  let working = true;
  const clock = { ms: 0 };
  const names = makeNames({
    resolver: resolver(
      () => {
        asked++;
        return working ? answer('192.0.2.1') : fail('ETIMEOUT');
      },
      () => fail('ENODATA'),
    ),
    hosts: nothing,
    now: () => clock.ms,
  });
  await Promise.all([names.lookUp('a.test'), names.lookUp('a.test'), names.lookUp('A.test')]);
  clock.ms = 29_999;
  await names.lookUp('a.test');
  assert.equal(asked, 1);
  clock.ms = 30_001;
  working = false;
  await assert.rejects(names.lookUp('a.test'));
  await assert.rejects(names.lookUp('a.test'));
  assert.equal(asked, 2);
  clock.ms += 3_001;
  working = true;
  assert.deepEqual(await names.lookUp('a.test'), ['192.0.2.1']);
});
