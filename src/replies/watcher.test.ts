import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { UNREADABLE } from '../../test/support/scripted-mailbox.ts';
import { eventually } from '../../test/support/service.ts';
import {
  recordSubjects,
  SHORT,
  type TestNode,
  type WatchGround,
  type WatchRow,
  watchGround,
} from '../../test/support/watch-ground.ts';
import { deleteGrant } from '../grants/grants.ts';
import type { GrantId } from '../ids.ts';
import { WatchBroken, type WatchProblem } from '../providers/watch.ts';
import { forgetCursor } from './leases.ts';
import type { SyncPage } from './pages.ts';

const FAST = { perSecond: 2_000, atOnce: 50 };
const DOWN: WatchProblem = { kind: 'unreachable', reason: 'nyla@shop.test: try later\r\n' };

let ground: WatchGround;
let node: TestNode | null = null;
before(async () => {
  ground = await watchGround();
});
after(async () => {
  await ground.close();
});
beforeEach(async () => {
  await node?.stop();
  node = null;
  ground.server.cut();
  Object.assign(ground.server, { refuse: null, loginMs: 0, isDeaf: false });
  ground.logged.length = 0;
  await ground.sql`truncate open_mailboxes, watches, watch_nodes, received_messages, seen`;
});

function start(options: Parameters<WatchGround['node']>[0] = {}): TestNode {
  node = ground.node({ connects: FAST, ...options });
  return node;
}

/** The only mailbox there is. */
async function mailbox(): Promise<GrantId> {
  const [id] = await ground.mailboxes(1);
  if (id === undefined) throw new Error('no mailbox');
  return id;
}

async function row(): Promise<WatchRow | undefined> {
  return (await ground.watches())[0];
}

async function connected(count = 1): Promise<void> {
  await eventually(`${count} connected`, () => (ground.server.connected.length === count ? true : undefined));
}

async function recorded(...subjects: readonly string[]): Promise<void> {
  await eventually(`recorded: ${subjects}`, async () =>
    (await ground.seen()).length >= subjects.length ? true : undefined,
  );
  assert.deepEqual(
    (await ground.seen()).map(({ subject }) => subject),
    subjects,
  );
}

function loggedAs(event: string): readonly Readonly<Record<string, unknown>>[] {
  return ground.logged.filter((line) => line.event === event).map(({ fields }) => fields);
}

describe('a mailbox that is watched', () => {
  it('is read from its cursor, page after page, and then as mail comes', async () => {
    const id = await mailbox();
    ground.server.deliver(id, ...Array.from({ length: 1_200 }, (_, at) => `old ${at}`));
    start();
    await eventually('read', async () => ((await ground.seen()).length === 1_200 ? true : undefined));
    assert.equal(node?.counts.pages, 3);
    ground.server.deliver(id, 'new');
    await eventually('read', async () => ((await ground.seen()).length === 1_201 ? true : undefined));
    const found = await row();
    assert.deepEqual([found?.cursor, found?.failures, found?.problem], [{ uid: 1_201 }, 0, null]);
    assert.ok(found?.synced);
    assert.deepEqual(ground.server.asked(id).slice(0, 3), [null, { uid: 500 }, { uid: 1_000 }]);
  });

  it('is asked for what came since its oldest open message, in the folders of its grant', async () => {
    const id = await mailbox();
    const at = new Date(Date.now() - 5 * 86_400_000);
    await ground.sql`
      insert into messages (app, id, grant_id, state, opens, links, thread_replies, message_id, thread_id, created_at, state_at)
      values (${ground.app}, gen_random_uuid(), ${id}, 'sent', false, false, true, '<m@shop.test>', 't', ${at}, ${at})`;
    await ground.sql`
      update grants set settings = settings || '{"watch_folders": ["Projects", 5]}' where app = ${ground.app} and id = ${id}`;
    start();
    await connected();
    assert.deepEqual(ground.server.logins.at(-1)?.order, { since: at, folders: ['Projects'] });
    await ground.sql`
      update grants set settings = settings || '{"watch_folders": ["*"]}', updated_at = now() where app = ${ground.app} and id = ${id}`;
    await eventually('opened anew', () => (ground.server.logins.at(-1)?.order.folders[0] === '*' ? true : undefined));
    await connected();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(ground.server.logins.filter(({ grantId }) => grantId === id).length, 2, 'once');
  });

  it('backs off while its server is down, says why, and goes on where it was', async () => {
    const id = await mailbox();
    start();
    await connected();
    ground.server.refuse = () => DOWN;
    ground.server.cut();
    const failing = await eventually('five failures', async () => {
      const found = await row();
      return (found?.failures ?? 0) >= 5 ? found : undefined;
    });
    assert.equal(failing.problem, 'unreachable: (address): try later');
    assert.equal(failing.node, node?.nodeId, 'it stays with its node');
    assert.equal(loggedAs('replies.mailbox_failed').length, 1);
    ground.server.deliver(id, 'meanwhile');
    ground.server.refuse = null;
    await recorded('meanwhile');
    const back = await eventually('all is well', async () => {
      const found = await row();
      return found?.failures === 0 ? found : undefined;
    });
    assert.equal(back.problem, null);
    assert.ok((node?.counts.reconnects ?? 0) >= 5);
  });

  it('starts from the beginning after a connection that was good, and goes on counting after others', async () => {
    const id = await mailbox();
    start();
    await connected();
    await new Promise((resolve) => setTimeout(resolve, 400)); // a good life has 300
    const written = async (): Promise<unknown> => (await ground.sql`select xmin::text as by from watches`)[0]?.by;
    const before = await written();
    ground.server.cut();
    await connected();
    await eventually('asked again', () => (ground.server.asked(id).length >= 2 ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await written(), before, 'no failure to be noted');
    const cutting = setInterval(() => ground.server.cut(), 5);
    await eventually('counted', async () => (((await row())?.failures ?? 0) >= 3 ? true : undefined));
    clearInterval(cutting);
    ground.server.deliver(id, 'at last');
    await recorded('at last');
  });

  it('is left alone as long as its server asks for', async () => {
    await mailbox();
    ground.server.refuse = () => ({ kind: 'throttled', reason: 'too many', retryAfterSeconds: 30 });
    start();
    await eventually('refused', () => (node?.counts.starts === 1 ? true : undefined));
    await new Promise((resolve) => setTimeout(resolve, 400)); // of 600
    assert.equal(node?.counts.starts, 1);
    await eventually('tried again', () => (node?.counts.starts === 2 ? true : undefined));
  });

  it('whose server does not answer is given up in time, and stops at once', async () => {
    await ground.mailboxes(3);
    ground.server.isDeaf = true;
    start({ times: { ...SHORT, openMs: 100 } });
    await eventually('given up', async () => ((await row())?.problem?.includes('in time') ? true : undefined));
    const from = performance.now();
    await node?.stop();
    assert.ok(performance.now() - from < 1_000);
  });

  it('that opens too late is closed again', async () => {
    await mailbox();
    const deaf = ground.server.underWay; // of the test before
    ground.server.loginMs = 300;
    start({ times: { ...SHORT, openMs: 100 } });
    await eventually('given up', async () => ((await row())?.problem?.includes('in time') ? true : undefined));
    await node?.stop();
    await eventually('all logins are answered', () => (ground.server.underWay === deaf ? true : undefined));
    assert.deepEqual(ground.server.connected, []);
  });

  it('that says again and again that there is something, and there is nothing, is asked a few times a second', async () => {
    const id = await mailbox();
    start();
    await connected();
    await eventually('synced', async () => ((await row())?.synced ? true : undefined));
    const before = ground.server.asked(id).length;
    const chatter = setInterval(() => ground.server.deliver(id), 5);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    clearInterval(chatter);
    const asked = ground.server.asked(id).length - before;
    assert.ok(asked >= 2 && asked <= 5, `${asked} times in a second`);
    ground.server.deliver(id, 'something');
    await recorded('something');
  });

  it('expires its grant once where the credentials are refused, and resumes from its cursor with new ones', async () => {
    const id = await mailbox();
    start();
    ground.server.deliver(id, 'one');
    await recorded('one');
    ground.server.refuse = () => ({ kind: 'unauthorised', reason: 'no such password' });
    ground.server.cut();
    await eventually('expired', async () => ((await stateOf(id)) === 'expired' ? true : undefined));
    await eventually('let go', async () => ((await row())?.node === null ? true : undefined));
    const logins = ground.server.logins.length;
    ground.server.deliver(id, 'two');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(ground.server.logins.length, logins, 'not tried any more');
    assert.equal(loggedAs('grant.expired').length, 1);
    assert.deepEqual((await row())?.cursor, { uid: 1 });

    ground.server.refuse = null;
    await ground.authenticate(id, 'second');
    await recorded('one', 'two');
    assert.equal(await stateOf(id), 'valid');
  });

  it('is let go at once when its grant is deleted, and what was kept of it is erased', async () => {
    const id = await mailbox();
    const running = start();
    await connected();
    ground.server.deliver(id, 'one');
    await recorded('one');
    await ground.sql`
      insert into received_messages (app, grant_id, mark, id, thread_id, message_id, class, place, received_at)
      values (${ground.app}, ${id}, 'mark', gen_random_uuid(), 't', '', 'unrelated', 'INBOX 1', now())`;
    await deleteGrant(ground.sql, ground.app, id);
    const from = performance.now();
    running.look();
    await connected(0);
    assert.ok(performance.now() - from < 1_000);
    await eventually('erased', async () => {
      const left =
        await ground.sql`select from watches union all select from received_messages union all select from open_mailboxes`;
      return left.length === 0 ? true : undefined;
    });
    assert.deepEqual(loggedAs('replies.look_failed'), []);
  });

  it('is watched no more when its window is over, and anew when it is opened again', async () => {
    const id = await mailbox();
    start();
    ground.server.deliver(id, 'one');
    await recorded('one');
    await ground.sql`update open_mailboxes set active_at = now() - interval '89 days'`;
    await new Promise((resolve) => setTimeout(resolve, 200));
    await connected();
    await ground.sql`update open_mailboxes set active_at = now() - interval '91 days'`;
    await connected(0);
    await eventually('forgotten', async () => ((await ground.watches()).length === 0 ? true : undefined));
    await ground.sql`update open_mailboxes set active_at = now()`;
    await connected();
    assert.equal(ground.server.asked(id).filter((cursor) => cursor === null).length, 2);
  });

  it('is watched as many days as its application says', async () => {
    await mailbox();
    await ground.sql`update open_mailboxes set active_at = now() - interval '8 days'`;
    await ground.sql`update applications set settings = '{"reply_watch_days": 7}'`;
    await ground.sql`insert into watches (app, grant_id) select app, grant_id from open_mailboxes`;
    start();
    await eventually('closed', async () => ((await ground.watches()).length === 0 ? true : undefined));
    // Waiting for longer opens it again.
    await ground.sql`update applications set settings = '{"reply_watch_days": 9}'`;
    await connected();
    await ground.sql`update applications set settings = '{"reply_watch_days": "nonsense"}'`;
    await mailbox();
    await connected(2);
    await ground.sql`update applications set settings = '{}'`;
  });

  it('waits for the database, and asks for the same page again', async () => {
    const id = await mailbox();
    start();
    await connected();
    await eventually('synced', async () => ((await row())?.synced ? true : undefined));
    await ground.gate.shut();
    ground.server.deliver(id, 'one', 'two');
    await new Promise((resolve) => setTimeout(resolve, 300));
    await ground.gate.open();
    await recorded('one', 'two');
    assert.equal(node?.counts.reconnects, 0);
    assert.deepEqual(loggedAs('replies.page_failed'), []);
    assert.deepEqual((await row())?.cursor, { uid: 2 });
  });

  it('writes nothing while nothing happens', async () => {
    await mailbox();
    start();
    await eventually('synced', async () => ((await row())?.synced ? true : undefined));
    const [before] = await ground.sql`select xmin::text from watches`;
    const looks = ground.server.asked((await row())?.grantId ?? '').length;
    ground.server.deliver((await row())?.grantId ?? ''); // woken, and nothing there
    await eventually('looked', async () =>
      ground.server.asked((await row())?.grantId ?? '').length > looks ? true : undefined,
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    const [then] = await ground.sql`select xmin::text from watches`;
    assert.deepEqual(then, before);
  });
});

describe('a page that cannot be dealt with', () => {
  it('costs no more than the mail that is at fault', async () => {
    const id = await mailbox();
    start({ syncPage: failingWith('poison', () => new RangeError('a bug')) });
    ground.server.deliver(id, 'one', 'poison', 'three');
    await recorded('one', 'three');
    ground.server.deliver(id, 'four');
    await recorded('one', 'three', 'four');
    assert.equal(loggedAs('replies.page_failed').length, 5);
    const [aside, ...more] = loggedAs('replies.mail_set_aside');
    assert.deepEqual([aside?.grant, aside?.place, aside?.reason, more], [id, 'INBOX 2', 'a bug', []]);
    assert.equal(node?.counts.setAside, 1);
    assert.deepEqual((await row())?.cursor, { uid: 4 });
  });

  it('passes nothing over as long as no mail at all gets through', async () => {
    const id = await mailbox();
    let isBroken = true;
    start({
      syncPage: async (run, portion) => {
        if (isBroken) throw new RangeError('a bug of ours');
        return await recordSubjects(ground.sql)(run, portion);
      },
    });
    ground.server.deliver(id, 'one', 'two');
    await eventually('many failures', () => (loggedAs('replies.page_failed').length >= 8 ? true : undefined));
    assert.equal(node?.counts.setAside, 0);
    isBroken = false;
    await recorded('one', 'two');
  });

  it('is read anew on request', async () => {
    const id = await mailbox();
    start();
    ground.server.deliver(id, 'one');
    await recorded('one');
    const [watched] = await ground.sql<{ app: number }[]>`select app from watches`;
    const mine = { app: watched?.app ?? 0, grantId: id };
    assert.equal(await forgetCursor(ground.sql, mine), true);
    await eventually('asked from the beginning', () =>
      ground.server.asked(id).filter((cursor) => cursor === null).length > 1 ? true : undefined,
    );
    await eventually('read', async () => ((await row())?.cursor == null ? undefined : true));
    assert.equal(await forgetCursor(ground.sql, { ...mine, app: 0 }), false);
  });

  it('because of a mail with which the connection breaks is passed over too', async () => {
    const id = await mailbox();
    start({ syncPage: failingWith('poison', () => new WatchBroken(DOWN)) });
    ground.server.deliver(id, 'one', 'poison', 'three');
    await eventually('gone on', async () => ((await ground.seen()).at(-1)?.subject === 'three' ? true : undefined));
    assert.equal(node?.counts.setAside, 1);
    await eventually('cursor', async () => ((await row())?.failures === 0 ? true : undefined));
  });

  it('says so of a mail that the server cannot give', async () => {
    const id = await mailbox();
    start();
    ground.server.deliver(id, 'one', UNREADABLE, 'three');
    await recorded('one', 'three');
    const told = loggedAs('replies.mail_set_aside').map(({ grant, place }) => [grant, place]);
    assert.deepEqual([told, node?.counts.setAside], [[[id, 'INBOX 2']], 1]);
  });

  it('because of the database is waited for, and nothing is passed over', async () => {
    const id = await mailbox();
    start();
    await connected();
    await ground.sql`alter table seen rename to hidden`;
    ground.server.deliver(id, 'one');
    await eventually('many failures', () => (loggedAs('replies.page_failed').length >= 8 ? true : undefined));
    await ground.sql`alter table hidden rename to seen`;
    await recorded('one');
    assert.equal(node?.counts.setAside, 0);
  });
});

/** Records subjects, but throws for a portion with that one in it. */
function failingWith(subject: string, error: () => Error): SyncPage {
  const record = recordSubjects(ground.sql);
  return async (run, portion) => {
    if (portion.mails.some(({ head }) => head.subject === subject)) throw error();
    return await record(run, portion);
  };
}

async function stateOf(id: string): Promise<unknown> {
  const [grant] = await ground.sql`select state from grants where id = ${id}`;
  return grant?.state;
}
