import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePasswd, serverAccounts } from './account.ts';

test('reads accounts, macOS negative ids included, and skips what is none', () => {
  const text =
    '# comment\nroot:*:0:0:root:/root:/bin/sh\nnobody:*:-2:-2::/var/empty:/usr/bin/false\n+::::::\n\nbad:x:y:z\n';
  assert.deepEqual(parsePasswd(text), [
    { name: 'root', uid: 0, gid: 0 },
    { name: 'nobody', uid: 4_294_967_294, gid: 4_294_967_294 },
  ]);
});

test('without a passwd file there is no account', async () => {
  assert.deepEqual(await serverAccounts('/nonexistent'), []);
});
