// Many mailboxes, some of them dead, share the workers.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { transaction } from '../db/transaction.ts';
import { deleteGrant, type Grant, saveGrant } from '../grants/grants.ts';
import { uuidv7 } from '../ids.ts';
import type { CopyOutcome, ImapCredentials, Provider } from '../providers/provider.ts';
import { putSentCopies, type SentCopies, type SentCopiesDeps, startSentCopies } from './sent-copies.ts';

const SERVER = { host: 'mail.shop.test', port: 465, security: 'tls', user: 'nyla', password: 'p' } as const;
const credentials: ImapCredentials = { provider: 'imap', smtp: SERVER, imap: { ...SERVER, port: 993 } };
const GONE: CopyOutcome = { kind: 'unreachable', reason: 'gone' };
const MINUTE = 60_000;

let sender: Sender;
let tries: { readonly grantId: string; readonly messageId: string }[] = [];
let underWay = 0;
let mostUnderWay = 0;
type Behaviour = (signal: AbortSignal, messageId: string) => Promise<CopyOutcome>;
/** By grant; the others keep the copy. */
const behaviours = new Map<string, Behaviour>();
const running: SentCopies[] = [];

before(async () => {
  sender = await startSender((deps) => {
    const imap: Provider<ImapCredentials> = {
      ...deps.providers.imap,
      async keepCopy(account, _access, copy, signal) {
        tries.push({ grantId: account.grantId, messageId: copy.messageId });
        underWay += 1;
        mostUnderWay = Math.max(mostUnderWay, underWay);
        try {
          return await (behaviours.get(account.grantId)?.(signal, copy.messageId) ??
            Promise.resolve<CopyOutcome>({ kind: 'kept' }));
        } finally {
          underWay -= 1;
        }
      },
    };
    return { ...deps, providers: { ...deps.providers, imap } };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  tries = [];
  mostUnderWay = 0;
  behaviours.clear();
  await sender.database.sql`delete from sent_copies`;
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((copies) => copies.close()));
});

/** Polls so seldom that it counts as not at all, unless told otherwise. */
function start(options: Partial<SentCopiesDeps> = {}): SentCopies {
  const copies = startSentCopies({ ...sender.deps, pollMs: 10 * MINUTE, ...options });
  running.push(copies);
  return copies;
}

let mailboxes = 0;

async function mailbox(behaviour?: Behaviour, email = `box${++mailboxes}@shop.test`): Promise<Grant> {
  const { grant } = await saveGrant(sender.deps, sender.grant.app, { provider: 'imap', email, credentials });
  if (behaviour !== undefined) behaviours.set(grant.id, behaviour);
  return grant;
}

/** Copies that are due, `attempts` tries after the first. */
async function put(grant: Grant, count: number, attempts = 0): Promise<void> {
  const copies = Array.from({ length: count }, () => {
    const message = uuidv7();
    const messageId = `<${message}@shop.test>`;
    return { app: grant.app, message, grantId: grant.id, messageId, raw: Buffer.from('raw') };
  });
  await transaction(sender.database.sql, (tx) => putSentCopies(tx, copies));
  await sender.database.sql`
    update sent_copies set next_attempt_at = now() - interval '1 minute', attempts = ${attempts}
    where grant_id = ${grant.id} and claimed_until is null`;
}

/** The distinct values of the copies of a mailbox, and how many copies there are. */
async function rowsOf(grant: Grant) {
  const [row] = await sender.database.sql`
    select count(*)::integer as copies, count(distinct next_attempt_at)::integer as times,
      round(extract(epoch from min(next_attempt_at) - now()) / 60)::integer as minutes
    from sent_copies where grant_id = ${grant.id}`;
  return { ...row };
}

async function emptied(grant: Grant): Promise<void> {
  await eventually('its copies are gone', async () => ((await rowsOf(grant)).copies === 0 ? true : undefined));
}

function triesOf(grant: Grant): number {
  return tries.filter(({ grantId }) => grantId === grant.id).length;
}

/** Says nothing until it is cut off. */
const silent: Behaviour = (signal) =>
  new Promise((resolve) => {
    const end = (): void => resolve(GONE);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });

describe('copies of many mailboxes', () => {
  it('are tried one of a mailbox at a time, so a silent one with many holds nobody up', async () => {
    const dead = await mailbox(silent);
    const live = await mailbox();
    await put(dead, 20);
    await put(live, 3);
    start();
    await emptied(live);
    assert.equal(triesOf(dead), 1);
  });

  it('are all kept but the one with which the mailbox always breaks', async () => {
    let bad = '';
    const breaking = await mailbox(async (_signal, messageId) => {
      bad ||= messageId;
      return messageId === bad ? GONE : { kind: 'kept' };
    });
    await put(breaking, 6);
    start({ pollMs: 10, schedule: [1] });
    await eventually('only the bad one is left', async () =>
      (await rowsOf(breaking)).copies === 1 ? true : undefined,
    );
  });

  it('go at once while dead mailboxes, however many, are tried again', async () => {
    const dead = await Promise.all(Array.from({ length: 12 }, () => mailbox(silent)));
    for (const grant of dead) await put(grant, 2, 1);
    start({ pollMs: 10 });
    await eventually('the dead ones are tried', () => (tries.length >= 4 ? true : undefined));
    const live = await mailbox();
    await put(live, 3);
    await emptied(live);
    assert.equal(tries.length, 4 + 3);
  });

  it('go while dead mailboxes that are new take every worker, as soon as one of these gives up', async () => {
    const dead = await Promise.all(Array.from({ length: 8 }, () => mailbox(silent)));
    for (const grant of dead) await put(grant, 50);
    start({ tryMs: 200 });
    await eventually('all workers are taken', () => (tries.length === 8 ? true : undefined));
    const live = await mailbox();
    await put(live, 3);
    await emptied(live);
    assert.equal(tries.length, 8 + 3);
  });

  it('are put off together when the mailbox cannot be reached: one try per step, for new ones too', async () => {
    const dead = await mailbox(async () => GONE);
    await put(dead, 20);
    const copies = start({ pollMs: 10 });
    await eventually('it was tried', () => (copies.counts.retried === 1 ? true : undefined));
    assert.deepEqual(await rowsOf(dead), { copies: 20, times: 1, minutes: 1 });
    await put(dead, 1);
    const marker = await mailbox();
    await put(marker, 1);
    await emptied(marker);
    assert.equal(triesOf(dead), 1);

    const { sql } = sender.database;
    for (const minutes of [10, 60, 180, 180]) {
      const before = copies.counts.retried;
      await sql`update sent_copies set next_attempt_at = now(), claimed_until = null`;
      await eventually('it was tried again', () => (copies.counts.retried === before + 1 ? true : undefined));
      assert.deepEqual(await rowsOf(dead), { copies: 21, times: 1, minutes });
    }
    assert.equal(triesOf(dead), 5);
  });

  it('are given up with the mailbox once they are old, the younger ones wait on', async () => {
    const dead = await mailbox(async () => GONE);
    await put(dead, 5, 3);
    await sender.database.sql`update sent_copies set created_at = now() - interval '34 hours'`;
    await put(dead, 2, 3);
    const copies = start();
    await eventually('five are given up', () => (copies.counts.givenUp === 5 ? true : undefined));
    await eventually('the others rest', async () => ((await rowsOf(dead)).minutes === 180 ? true : undefined));
    assert.equal((await rowsOf(dead)).copies, 2);
    assert.equal(triesOf(dead), 1);
  });

  it('go as soon as the grant is authenticated anew, however long the mailbox was to rest', async () => {
    let refuses = true;
    const refusing: Behaviour = async () => (refuses ? { kind: 'unauthorised', reason: 'no' } : { kind: 'kept' });
    const grant = await mailbox(refusing, 'anew@shop.test');
    await put(grant, 5, 3);
    const first = start();
    await eventually('it was tried', () => (first.counts.retried === 1 ? true : undefined));
    await first.close();
    const marker = await mailbox();
    await put(marker, 1);
    const second = start();
    await emptied(marker);
    await second.close();
    assert.equal(triesOf(grant), 1);
    refuses = false;
    await mailbox(refusing, 'anew@shop.test');
    start();
    await emptied(grant);
    assert.equal(triesOf(grant), 6);
  });

  it('go as soon as the grant is deleted, however long the mailbox was to rest', async () => {
    const grant = await mailbox(async () => ({ kind: 'unreachable', reason: 'away' }), 'deleted@shop.test');
    await put(grant, 5, 3);
    const first = start();
    await eventually('it was tried', () => (first.counts.retried === 1 ? true : undefined));
    await first.close();
    await deleteGrant(sender.database.sql, grant.app, grant.id);
    start();
    await emptied(grant);
    assert.equal(triesOf(grant), 1);
  });

  it('follow each other without a pause, one at a time', async () => {
    const busy = await mailbox();
    await put(busy, 100);
    start();
    await emptied(busy);
    assert.equal(mostUnderWay, 1);
  });

  it('are worked on at most eight at once', async () => {
    const ends: (() => void)[] = [];
    const slow: Behaviour = () => new Promise((resolve) => ends.push(() => resolve({ kind: 'kept' })));
    const grants = await Promise.all(Array.from({ length: 12 }, () => mailbox(slow)));
    for (const grant of grants) await put(grant, 1);
    const copies = start({ pollMs: 5 });
    await eventually('all are kept', () => {
      if (underWay === 8 || tries.length === 12) for (const end of ends.splice(0)) end();
      return copies.counts.kept === 12 ? true : undefined;
    });
    assert.equal(mostUnderWay, 8);
  });

  it('are never tried by two processes at a time', async () => {
    const grants = await Promise.all(Array.from({ length: 6 }, () => mailbox()));
    for (const grant of grants) await put(grant, 10);
    const processes = [start({ pollMs: 3 }), start({ pollMs: 3 }), start({ pollMs: 3 })];
    for (const grant of grants) await emptied(grant);
    assert.equal(
      processes.reduce((sum, { counts }) => sum + counts.kept, 0),
      60,
    );
    assert.equal(new Set(tries.map(({ messageId }) => messageId)).size, 60);
    assert.equal(tries.length, 60);
  });

  it('that are under way when the process ends are cut off and cost no try', async () => {
    const dead = await mailbox(silent);
    await put(dead, 2);
    const copies = start();
    await eventually('it is tried', () => (triesOf(dead) === 1 ? true : undefined));
    const began = performance.now();
    await copies.close();
    assert.ok(performance.now() - began < 2_000);
    assert.equal(copies.counts.retried, 0);
    const rows = await sender.database.sql`select attempts from sent_copies where claimed_until is null`;
    assert.deepEqual(
      rows.map(({ attempts }) => attempts),
      [0, 0],
    );
  });

  it('wait for their turn again where the vault does not open the credentials, and hold nobody up', async () => {
    const sealed = await mailbox();
    const live = await mailbox();
    await sender.database.sql`update grants set credentials = 'rubbish' where id = ${sealed.id}`;
    await put(sealed, 5);
    await put(live, 2);
    const copies = start();
    await emptied(live);
    await eventually('it rests', () => (copies.counts.retried === 1 ? true : undefined));
    assert.deepEqual([triesOf(sealed), await rowsOf(sealed)], [0, { copies: 5, times: 1, minutes: 1 }]);
  });
});
