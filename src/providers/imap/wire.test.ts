// What is used of imapflow besides its interface: an upgrade that moves it has to fail here.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { ImapFlow } from 'imapflow';
import { SILENCE, startScriptedImap } from '../../../test/support/scripted-imap.ts';
import { atom, makeWire, Refused } from './wire.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function connected(
  answer: Parameters<typeof startScriptedImap>[0] = () => null,
): Promise<{ readonly client: ImapFlow; say(line: string): void }> {
  let say = (_line: string): void => {};
  const server = await startScriptedImap((said) => {
    say = (line) => void said.socket.write(`${line}\r\n`);
    return answer(said);
  }, 'NAMESPACE IDLE');
  const client = new ImapFlow({
    host: '127.0.0.1',
    port: server.port,
    secure: false,
    auth: { user: 'kim', pass: 'secret' },
    logger: false,
    disableAutoIdle: true,
  });
  client.on('error', () => {});
  await client.connect();
  ends.push(async () => {
    client.close();
    await server.close();
  });
  return { client, say: (line) => say(line) };
}

describe('what is used of imapflow', () => {
  it('runs commands, hears what is said to them, and knows a refusal', async () => {
    const { client } = await connected(({ line }) =>
      line.startsWith('UID SEARCH') ? '* SEARCH 7\r\n' : line.startsWith('NOOP') ? '!NO [LIMIT] slow down' : null,
    );
    const wire = makeWire(client, 1000);
    const heard: string[] = [];
    await wire.run('UID SEARCH', [atom('ALL')], { SEARCH: ({ command }) => heard.push(command ?? '') });
    assert.deepEqual(heard, ['SEARCH']);
    await assert.rejects(
      wire.run('NOOP', []),
      (error) => error instanceof Refused && error.failure.code === 'LIMIT' && error.failure.status === 'NO',
    );
    assert.ok(client.stats().received > 0);
  });

  it('hears of mails that came and went while nothing is asked', async () => {
    const { client, say } = await connected();
    const wire = makeWire(client, 1000);
    const news = new Promise<void>((resolve) => {
      wire.onExists = resolve;
    });
    say('* 3 EXISTS');
    await news;
    assert.equal(wire.count, 3);
    say('* 1 EXPUNGE');
    await wire.run('NOOP', []);
    assert.equal(wire.count, 2);
  });

  it('says what is missing where it is another version', async () => {
    for (const name of ['untaggedHandlers', 'exec']) {
      const { client } = await connected();
      Reflect.set(client, name, undefined);
      await assert.rejects(async () => makeWire(client, 1000).run('NOOP', []), new RegExp(`no ${name} any more`));
    }
  });

  it('keeps no folders, and the waits of a throttled command can be seen', async () => {
    const { client } = await connected();
    await makeWire(client, 1000).list();
    const folders: unknown = Reflect.get(client, 'folders');
    assert.ok(folders instanceof Map);
    assert.equal(folders.size, 0);
    assert.ok(Reflect.get(client, '_throttleWaits') instanceof Set);
  });
});

describe('IDLE', () => {
  it('ends without a word where the socket has gone, and imapflow does not know it yet', async () => {
    const { client } = await connected(({ line, socket }) => {
      if (line === 'IDLE') socket.write('+ idling\r\n* 1 EXISTS\r\n');
      return line === 'IDLE' || line === '' ? SILENCE : null;
    });
    const wire = makeWire(client, 1000);
    const news = new Promise<void>((resolve) => {
      wire.onExists = resolve;
    });
    const idle = wire.idle();
    await news;
    const socket: unknown = Reflect.get(client, 'socket');
    assert.ok(typeof socket === 'object' && socket !== null && 'destroy' in socket);
    assert.ok(typeof socket.destroy === 'function');
    Reflect.apply(socket.destroy, socket, []);
    assert.ok(client.usable);
    idle.end();
    await assert.rejects(idle.ended);
  });
});
