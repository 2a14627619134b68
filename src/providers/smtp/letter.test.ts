import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loopbackNetwork, mailTo, serverAt } from '../../../test/support/smtp-ground.ts';
import {
  hangUp,
  offering,
  type Script,
  type SmtpPeer,
  say,
  sayAndHangUp,
  smtpPeer,
} from '../../../test/support/smtp-peer.ts';
import type { StreamedMail } from '../mail-bytes.ts';
import type { OutgoingMail } from '../provider.ts';
import { makeSmtp } from './smtp.ts';

const AUTH = { password: 'correct horse' };
const soon = (): AbortSignal => AbortSignal.timeout(20_000);
const smtp = makeSmtp({ network: loopbackNetwork() });
const peers: SmtpPeer[] = [];
after(async () => {
  await smtp.close();
  for (const peer of peers) await peer.close();
});

async function peer(scriptOf: (connection: number) => Script = () => ({})): Promise<SmtpPeer> {
  const made = await smtpPeer(scriptOf);
  peers.push(made);
  return made;
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !holds(); tries++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(holds(), holds.toString());
}

interface Counted {
  readonly mail: OutgoingMail;
  /** How often it was begun, and the pieces read of it in all. */
  readonly begun: number;
  readonly pieces: number;
  /** Whether the last reading was given up or has ended. */
  readonly isOver: boolean;
}

const PIECE = Buffer.from(`${'x'.repeat(998)}\r\n`.repeat(100));

/** `fails`: after so many pieces. */
function counted(count: number, fails = Number.POSITIVE_INFINITY): Counted {
  const [seen, { envelope, messageId, raw: head }] = [
    { begun: 0, pieces: 0, isOver: false },
    mailTo('kim@example.com'),
  ];
  assert.ok(Buffer.isBuffer(head));
  const raw: StreamedMail = {
    size: head.length + count * PIECE.length,
    head,
    async *read() {
      seen.begun += 1;
      try {
        yield head;
        for (let piece = 0; piece < count; piece++) {
          if (piece >= fails) throw new Error('the database went away');
          seen.pieces += 1;
          yield PIECE;
        }
      } finally {
        seen.isOver = true;
      }
    },
  };
  return Object.assign(seen, { mail: { envelope, messageId, raw } });
}

describe('a mail that is read piece by piece', () => {
  it('says its size, and comes whole', async () => {
    const server = await peer(() => ({ EHLO: offering('AUTH PLAIN', 'SIZE') }));
    const { mail } = counted(20);
    assert.equal((await smtp.send(serverAt(server.port), AUTH, mail, soon())).kind, 'sent');
    const size = Number(/SIZE=(\d+)/.exec(server.heard.find((line) => line.startsWith('MAIL')) ?? '')?.[1]);
    const [taken = ''] = server.mails;
    assert.equal(taken.replaceAll('\r\n..', '\r\n.').length, size);
  });

  it('is never ended where it cannot be read to its end: the connection is cut', async () => {
    for (const fails of [0, 1, 7]) {
      const server = await peer();
      const { mail } = counted(8, fails);
      const outcome = await smtp.send(serverAt(server.port), AUTH, mail, soon());
      assert.deepEqual(outcome, { ...outcome, kind: 'unreachable' });
      await until(() => server.open === 0);
      assert.deepEqual(server.mails, []);
      assert.equal(server.connections, 1);
    }
  });

  it('is read again for a second try, where the kept connection had gone', async () => {
    const server = await peer((connection) =>
      connection === 1
        ? {
            MAIL: (socket, line) => (server.mails.length === 0 ? say('250 Ok')(socket, line) : hangUp(socket, line)),
          }
        : {},
    );
    assert.equal((await smtp.send(serverAt(server.port), AUTH, mailTo('kim@example.com'), soon())).kind, 'sent');
    const again = counted(20);
    assert.equal((await smtp.send(serverAt(server.port), AUTH, again.mail, soon())).kind, 'sent');
    assert.equal(server.connections, 2);
    assert.equal(server.mails.length, 2);
    assert.equal(again.pieces, 20);
  });

  it('is read no more once it is refused, or the time is over', async () => {
    const refusing = await peer(() => ({ inData: sayAndHangUp('552 5.3.4 Too large') }));
    const refused = counted(2000);
    const outcome = await smtp.send(serverAt(refusing.port), AUTH, refused.mail, soon());
    assert.ok(outcome.kind === 'rejected' || outcome.kind === 'unknown', outcome.kind);
    await until(() => refused.isOver);
    assert.ok(refused.pieces < 2000, `${refused.pieces}`);

    const unwilling = await peer(() => ({ DATA: say('451 4.3.0 Not now') }));
    const unasked = counted(20);
    assert.equal((await smtp.send(serverAt(unwilling.port), AUTH, unasked.mail, soon())).kind, 'deferred');
    assert.equal(unasked.begun, 0);
  });

  it('is read no faster than the server takes it', async () => {
    const controller = new AbortController();
    const stuck = await peer(() => ({ inData: (socket) => void socket.pause() }));
    const slow = counted(2000);
    const going = smtp.send(serverAt(stuck.port), AUTH, slow.mail, controller.signal);
    for (let before = -1; slow.pieces === 0 || slow.pieces > before; ) {
      before = slow.pieces;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    // What lies in the buffers of two sockets and of three streams.
    assert.ok(slow.pieces < 200, `${slow.pieces} pieces were read`);
    controller.abort();
    assert.equal((await going).kind, 'unknown');
    await until(() => slow.isOver);
  });
});
