// What of a send is told by a notification, from the request to the outbox.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type Sender, startSender } from '../../test/support/sender.ts';
import { eventually } from '../../test/support/service.ts';
import { updateApplication } from '../grants/applications.ts';
import { fromWireId } from '../ids.ts';
import type { FindOutcome, PracticeCredentials, Provider, SendOutcome } from '../providers/provider.ts';
import { readSendDetail } from '../tracking/send-facts.ts';
import { type Ledger, makeLedger } from './ledger.ts';
import { recoverSends } from './recover.ts';

const LONG_MS = 60_000;
const SHORT_MS = 100;

let sender: Sender;
let deadlineMs = LONG_MS;
let woken = 0;
/** Results that the ledger was given and has dealt with. */
let recorded = 0;
/** What the provider does next; null: it really sends. */
let script: ((messageId: string) => Promise<SendOutcome>) | null = null;
let found: FindOutcome = { kind: 'absent' };

before(async () => {
  sender = await startSender((deps) => {
    const real = deps.providers.practice;
    const practice: Provider<PracticeCredentials> = {
      ...real,
      send: (account, access, mail, signal) =>
        script ? script(mail.messageId) : real.send(account, access, mail, signal),
      findSent: async () => found,
    };
    const onFacts = (): void => void woken++;
    const whole = makeLedger({ sql: deps.sql, log: deps.log, onFacts });
    const ledger: Ledger = {
      ...whole,
      async settle(result) {
        await whole.settle(result);
        recorded++;
      },
    };
    return {
      ...deps,
      providers: { ...deps.providers, practice },
      ledger,
      onFacts,
      get deadlineMs() {
        return deadlineMs;
      },
    };
  });
});
after(async () => {
  await sender.close();
});
beforeEach(async () => {
  woken = 0;
  recorded = 0;
  await sender.database.sql`truncate outbox, messages`;
});
afterEach(async () => {
  script = null;
  deadlineMs = LONG_MS;
  await tellAll(false);
});

const MAIL = {
  to: [{ name: 'Kim', email: 'kim@example.com' }],
  cc: [{ email: 'lee@example.com' }],
  bcc: [{ name: 'Max', email: 'max@example.com' }],
  reply_to: [{ email: 'answers@example.com' }],
  subject: 'Renewal',
  body: '<p>Hello <b>Kim</b></p>',
};
/** What is told of it but for a failure. */
const TOLD = {
  subject: 'Renewal',
  snippet: 'Hello Kim',
  from: [{ name: 'Practice Sender', email: 'sender@practice.test' }],
  to: [{ name: 'Kim', email: 'kim@example.com' }],
  cc: [{ name: '', email: 'lee@example.com' }],
  bcc: [{ name: 'Max', email: 'max@example.com' }],
  replyTo: [{ name: '', email: 'answers@example.com' }],
  scheduleId: null,
  sendAt: null,
  useDraft: false,
};
/** Where the row is all that is left. */
const OF_ROW = { ...TOLD, snippet: '', from: [], to: [], cc: [], bcc: [], replyTo: [] };

const send = (more: object = {}) =>
  sender.call('POST', `/v3/grants/${sender.grant.id}/messages/send`, { ...MAIL, ...more });

async function tellAll(notifySends: boolean): Promise<void> {
  await updateApplication(sender.database.sql, sender.grant.app, { settings: { notifySends } });
}

async function facts() {
  const rows = await sender.database.sql<{ trigger: string; message_id: string; detail: unknown }[]>`
    select trigger, message_id, detail from outbox order by position`;
  return rows.map(({ trigger, message_id: message, detail }) => ({ trigger, message, detail: readSendDetail(detail) }));
}

async function triggers(): Promise<readonly string[]> {
  return (await facts()).map(({ trigger }) => trigger);
}

async function state(): Promise<string | undefined> {
  const [row] = await sender.database.sql<{ state: string }[]>`select state from messages`;
  return row?.state;
}

/** One pass of recovery, as it comes when some time has gone by. */
async function recover(): Promise<void> {
  await sender.database.sql`update messages set state_at = state_at - interval '20 minutes'`;
  await recoverSends(sender.deps);
}

describe('a send that was answered', () => {
  it('is not told', async () => {
    assert.equal((await send()).status, 200);
    script = async () => ({ kind: 'rejected', reason: '550 no', refused: [] });
    assert.equal((await send()).status, 402);
    assert.deepEqual(await facts(), []);
    assert.equal(woken, 0);
  });

  it('is told where the application wants every send told', async () => {
    await tellAll(true);
    const answer = await send();
    assert.equal(answer.status, 200, answer.text);
    const message = fromWireId('msg', String(answer.at('data.id')));
    assert.deepEqual(await facts(), [{ trigger: 'message.send_success', message, detail: { ...TOLD, failure: null } }]);
    assert.equal(woken, 1);
  });

  it('is a success where some of its recipients were refused', async () => {
    await tellAll(true);
    const refused = [{ address: 'lee@example.com', reason: '550 unknown' }];
    script = async (messageId) => ({ kind: 'sent', messageId, refused });
    assert.equal((await send()).status, 200);
    const [fact, ...more] = await facts();
    assert.deepEqual([fact?.trigger, fact?.detail?.failure, more.length], ['message.send_success', null, 0]);
  });

  type Failure = Exclude<SendOutcome, { readonly kind: 'sent' }>;
  const failures: readonly (readonly [Failure, code: number | null])[] = [
    [{ kind: 'rejected', reason: '554 spam', refused: [] }, 554],
    [{ kind: 'rejected', reason: 'all refused', refused: [{ address: 'kim@example.com', reason: '550 no' }] }, 550],
    [{ kind: 'failed', reason: 'it broke' }, null],
    [{ kind: 'throttled', reason: 'slow down', retryAfterSeconds: 30 }, null],
    [{ kind: 'deferred', reason: '451 later' }, 451],
    [{ kind: 'unreachable', reason: 'nobody there' }, null],
  ];
  for (const [outcome, code] of failures) {
    it(`is told as the answer puts it, with the words and the code of the provider: ${outcome.kind}`, async () => {
      await tellAll(true);
      script = async () => outcome;
      const answer = await send();
      const [fact, ...more] = await facts();
      assert.deepEqual([fact?.trigger, more.length, woken], ['message.send_failed', 0, 1]);
      const error = {
        type: answer.at('error.type'),
        message: outcome.kind === 'rejected' ? (outcome.refused[0]?.reason ?? outcome.reason) : outcome.reason,
        statusCode: code ?? answer.status,
        providerError: {
          ...(code !== null && { code: String(code) }),
          ...Object(answer.at('error.provider_error')),
        },
      };
      assert.deepEqual(fact?.detail, { ...TOLD, failure: { reason: answer.at('error.message'), error } });
    });
  }

  it('is told with what cannot be stored left out', async () => {
    await tellAll(true);
    const answer = await send({
      subject: 'half \ud83d',
      body: '<p>Hi \ude00</p>',
      to: [{ email: '\ud800@example.com' }],
    });
    assert.equal(answer.status, 200, answer.text);
    const [fact] = await facts();
    assert.deepEqual([fact?.detail?.subject, fact?.detail?.snippet], ['half \ufffd', 'Hi \ufffd']);
    assert.equal(fact?.detail?.to[0]?.email, '\ufffd@example.com');
  });

  it('is told of each of many', async () => {
    await tellAll(true);
    const answers = await Promise.all(Array.from({ length: 30 }, () => send()));
    const ids = answers.map((answer) => fromWireId('msg', String(answer.at('data.id'))));
    assert.deepEqual((await facts()).map(({ message }) => message).sort(), ids.sort());
  });
});

describe('a send of which nobody was answered what became of it', () => {
  const never = { reason: 'The message has not been sent.', error: neverTaken() };

  for (const notifySends of [false, true]) {
    const always = notifySends ? ', also where every send is told' : '';

    it(`is told once it is found sent${always}`, async () => {
      await tellAll(notifySends);
      script = async () => ({ kind: 'unknown', reason: 'cut off' });
      const answer = await send();
      assert.equal(answer.status, 504, answer.text);
      assert.deepEqual([await facts(), woken], [[], 0]);
      found = { kind: 'unsure' };
      await recover();
      assert.deepEqual([await state(), await facts(), woken], ['unknown', [], 0]);
      found = { kind: 'found', messageId: '<left@practice.test>' };
      await Promise.all([recover(), recover(), recover()]);
      await recover();
      const message = fromWireId('msg', String(answer.at('error.provider_error.message_id')));
      assert.deepEqual(await facts(), [
        { trigger: 'message.send_success', message, detail: { ...OF_ROW, failure: null } },
      ]);
      assert.equal(woken, 1);
    });

    it(`is told once it is certain that it was not sent${always}`, async () => {
      await tellAll(notifySends);
      script = async () => ({ kind: 'unknown', reason: 'cut off' });
      const answer = await send();
      found = { kind: 'absent' };
      await recover();
      await recover();
      const message = fromWireId('msg', String(answer.at('error.provider_error.message_id')));
      assert.deepEqual(await facts(), [
        { trigger: 'message.send_failed', message, detail: { ...OF_ROW, failure: never } },
      ]);
      assert.equal(woken, 1);
    });

    it(`is told when the provider answers after all, once${always}`, async () => {
      await tellAll(notifySends);
      const { say, sent } = tooLate();
      assert.equal((await sent)?.status, 504);
      assert.deepEqual(await facts(), []);
      say({ kind: 'sent', messageId: '<left@practice.test>', refused: [] });
      await eventually('it is told', async () => ((await facts()).length > 0 ? true : undefined));
      found = { kind: 'found', messageId: '<left@practice.test>' };
      await recover();
      const [fact, ...more] = await facts();
      assert.deepEqual([fact?.trigger, more.length, woken], ['message.send_success', 0, 1]);
      assert.deepEqual(fact?.detail, { ...TOLD, failure: null });
    });
  }

  it('is told once where recovery has found it before the provider answers after all', async () => {
    const { say, sent, said } = tooLate();
    assert.equal((await sent)?.status, 504);
    found = { kind: 'found', messageId: '<left@practice.test>' };
    await recover();
    say({ kind: 'sent', messageId: '<left@practice.test>', refused: [] });
    await said();
    assert.deepEqual([await triggers(), woken], [['message.send_success'], 1]);
  });

  it('is told once where recovery and the provider’s late words come at the same time', async () => {
    const { say, sent, said } = tooLate(20);
    await sent;
    found = { kind: 'found', messageId: '<left@practice.test>' };
    const recovered = recover();
    say({ kind: 'sent', messageId: '<left@practice.test>', refused: [] });
    await Promise.all([recovered, said()]);
    assert.equal(new Set((await facts()).map(({ message }) => message)).size, 20);
    assert.deepEqual(await triggers(), Array(20).fill('message.send_success'));
  });

  it('is told anew where the provider says that it took what it did not show', async () => {
    const { say, sent, said } = tooLate();
    await sent;
    found = { kind: 'absent' };
    await recover();
    say({ kind: 'sent', messageId: '<left@practice.test>', refused: [] });
    await said();
    assert.deepEqual(await triggers(), ['message.send_failed', 'message.send_success']);
  });

  it('is told of a process that died while it sent', async () => {
    let end: (outcome: SendOutcome) => void = () => {};
    script = () => new Promise((resolve) => (end = resolve));
    const cut = send();
    await eventually('it is being sent', async () => ((await state()) === 'sending' ? true : undefined));
    found = { kind: 'absent' };
    await recover();
    await recover();
    end({ kind: 'unknown', reason: 'cut off' });
    assert.equal((await cut).status, 504);
    const [fact, ...more] = await facts();
    assert.deepEqual([fact?.trigger, more.length, woken], ['message.send_failed', 0, 1]);
    assert.deepEqual(fact?.detail, { ...OF_ROW, failure: never });
  });
});

/** So many sends that the provider answers only when it is told what to `say`, which is after their time. */
function tooLate(count = 1) {
  deadlineMs = SHORT_MS;
  const waiting: ((outcome: SendOutcome) => void)[] = [];
  script = () => new Promise((resolve) => waiting.push(resolve));
  const sent = Promise.all(Array.from({ length: count }, () => send()));
  return {
    sent: sent.then(([first]) => first),
    say(outcome: SendOutcome): void {
      for (const resolve of waiting) resolve(outcome);
    },
    /** Resolves once what was said late is written down. */
    said: () => eventually('it is written down', () => (recorded === 2 * count ? true : undefined)),
  };
}

function neverTaken(): object {
  return {
    type: 'api.provider_error',
    message: 'the provider never took the mail',
    statusCode: null,
    providerError: null,
  };
}
