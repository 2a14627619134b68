// Callers that repeat a request under its Idempotency-Key until it is answered, while the nodes are killed under them.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type BareMail, startBareMail } from '../support/bare-mail.ts';
import { type Nodes, startNodes } from '../support/nodes.ts';
import { type Answer, eventually } from '../support/service.ts';

const ROUNDS = 3;
/** The practice mailbox keeps a thousand mails, and what they cost is their number. */
const MOST_OF_A_ROUND = 60;
const CALLERS = 10;
/** A key that is answered 409 for so long waits for recovery. */
const STUCK_MS = 2_000;

/** By key, what it was answered in the end; null: not yet. */
type Ledger = Map<string, Answer | null>;

it('a mail of the practice mailbox is sent once, whenever its node is killed', async (t) => {
  const nodes = await startNodes(2);
  t.after(() => nodes.close());
  const ledger = await hammer(nodes, await nodes.grantId());
  const rows = await nodes.sql<{ key: string }[]>`
    select m.subject as key from messages m join practice_messages p on p.message_id = m.message_id
    where p.folder = 'SENT'`;
  const told = judge(
    ledger,
    rows.map(({ key }) => key),
  );
  assert.equal(told.open, 0, 'the practice mailbox knows of every mail');
  t.diagnostic(JSON.stringify(told));
});

it('a mail through an SMTP server is sent once, whenever its node is killed', async (t) => {
  const mail = await startBareMail();
  const nodes = await startNodes(2, { TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8' });
  t.after(async () => {
    await nodes.close();
    await mail.close();
  });
  const ledger = await hammer(nodes, await connected(nodes, mail));
  const keys = mail.delivered().map((raw) => /^Subject: (\S+)/m.exec(raw.toString('latin1'))?.[1] ?? '');
  t.diagnostic(JSON.stringify(judge(ledger, keys)));
});

it('five hundred requests of fifty keys, at two nodes at once, send fifty mails', async (t) => {
  const nodes = await startNodes(2);
  t.after(() => nodes.close());
  const grant = await nodes.grantId();
  const keys = Array.from({ length: 50 }, (_, at) => `many-${at}`);
  const answers = await Promise.all(
    Array.from({ length: 10 }, async (_, copy) => {
      const mine: [string, Answer][] = [];
      for (const key of keys) mine.push([key, await send(nodes, copy % 2, grant, key)]);
      return mine;
    }),
  );
  const ids = new Map<string, Set<unknown>>(keys.map((key) => [key, new Set()]));
  for (const [key, answer] of answers.flat()) {
    if (answer.status === 200) ids.get(key)?.add(answer.at('data.id'));
    else assert.equal(answer.status, 409, answer.text);
  }
  for (const [key, each] of ids) assert.equal(each.size, 1, key);
  const rows = await nodes.sql`select from practice_messages where folder = 'SENT'`;
  assert.equal(rows.length, 50);
});

/** Until all keys are answered, or wait for a mail server to show a mail. */
async function hammer(nodes: Nodes, grant: string): Promise<Ledger> {
  const ledger: Ledger = new Map();
  let over = false;
  let made = 0;
  let most = MOST_OF_A_ROUND;
  const caller = async (): Promise<void> => {
    while (!over) {
      if (made >= most) {
        await delay(10);
        continue;
      }
      const key = `key-${++made}`;
      ledger.set(key, null);
      await repeat(nodes, grant, key, ledger, () => over);
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  for (let round = 0; round < ROUNDS; round++) {
    const before = made;
    most = (round + 1) * MOST_OF_A_ROUND;
    await eventually('mails are sent', () => (made > before + 10 ? true : undefined), 60_000);
    await delay(Math.random() * 100);
    const dead = round % 3 === 2 ? [0, 1] : [round % 2];
    await Promise.all(dead.map((at) => nodes.kill(at)));
    await Promise.all(dead.map((at) => nodes.start(at)));
  }
  over = true;
  await Promise.all(callers);

  // What the dead left is old enough to be looked up, and to be taken over.
  await nodes.sql`update messages set state_at = state_at - interval '10 minutes' where state = 'sending'`;
  await nodes.sql`
    update idempotent_requests set started_at = started_at - interval '10 minutes' where answered_at is null`;
  await nodes.kill(0);
  await nodes.start(0);
  await eventually('recovery has looked at all', async () => {
    const rows = await nodes.sql`select from messages where state = 'sending'`;
    return rows.length === 0 ? true : undefined;
  });
  const open = [...ledger].filter(([, answer]) => answer === null);
  await Promise.all(open.map(([key]) => repeat(nodes, grant, key, ledger, () => false)));
  return ledger;
}

async function repeat(nodes: Nodes, grant: string, key: string, ledger: Ledger, isOver: () => boolean): Promise<void> {
  const since = performance.now();
  while (!isOver() && performance.now() - since < STUCK_MS) {
    const at = Math.floor(Math.random() * nodes.count);
    const answer = await send(nodes, at, grant, key).catch(() => null); // killed
    if (answer !== null && answer.status !== 409 && answer.status !== 503) {
      ledger.set(key, answer);
      return;
    }
    if (answer?.status === 409) assert.equal(answer.at('error.type'), 'api.concurrent_idempotent_request');
    await delay(30);
  }
}

function send(nodes: Nodes, at: number, grant: string, key: string): Promise<Answer> {
  const body = { to: [{ email: 'kim@example.com' }], subject: key, body: '<p>Hello</p>' };
  return nodes.node(at).api('POST', `/v3/grants/${grant}/messages/send`, body, { 'idempotency-key': key });
}

/** Compares what was answered with the mails that were sent, by their keys. */
function judge(ledger: Ledger, sent: readonly string[]) {
  const counts = new Map<string, number>();
  for (const key of sent) counts.set(key, (counts.get(key) ?? 0) + 1);
  const told = { keys: ledger.size, sent: 0, notSent: 0, open: 0, replayed: 0 };
  for (const [key, answer] of ledger) {
    const count = counts.get(key) ?? 0;
    if (answer === null) {
      told.open += 1;
      assert.ok(count <= 1, `${key}, of which nothing is known, was sent ${count} times`);
    } else if (answer.status === 200) {
      told.sent += 1;
      assert.equal(count, 1, `${key}, answered 200, was sent ${count} times`);
    } else {
      told.notSent += 1;
      assert.equal(answer.status, 422, answer.text);
      assert.equal(count, 0, `${key}, answered 422, was sent ${count} times`);
    }
    if (answer?.headers.get('idempotent-response') === 'true') told.replayed += 1;
  }
  assert.ok(told.sent > 10 * ROUNDS, `only ${told.sent} were sent`);
  return told;
}

async function connected(nodes: Nodes, { credentials: { smtp, imap } }: BareMail): Promise<string> {
  const made = await nodes.api('POST', '/v3/connect/custom', {
    provider: 'imap',
    settings: {
      imap_username: imap.user,
      imap_password: imap.password,
      imap_host: imap.host,
      imap_port: imap.port,
      smtp_host: smtp.host,
      smtp_port: smtp.port,
    },
  });
  assert.equal(made.status, 201, made.text);
  return String(made.at('data.id'));
}
