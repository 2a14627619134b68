// What every way out for notifications must do, run by each against a scripted far end.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { wireId } from '../../src/ids.ts';
import { NameError, type Names } from '../../src/names.ts';
import type { Destination, Outcome, Parcel } from '../../src/notify/destination.ts';
import {
  type Behaviour,
  closeEarly,
  dribble,
  flood,
  hang,
  hangUp,
  inTurn,
  type Received,
  type Receiver,
  startReceiver,
  status,
} from './receiver.ts';
import { freePort } from './service.ts';

export interface DestinationUnderTest {
  readonly destination: Destination;
  readonly address: string;
  close(): Promise<void>;
}

export interface ContractOptions {
  /** A destination that leads to `place` (host:port) and gives an attempt so long. */
  make(place: string, options: { readonly deadlineMs: number; readonly names: Names }): DestinationUnderTest;
  /** How a far end says yes to everything it is asked. */
  readonly yes: Behaviour;
  /** The notification as it arrived; `bytes` as they would be decompressed. */
  read(request: Received): { readonly id: string; readonly bytes: Buffer; readonly encoding: string | undefined };
  /** Addresses whose form is wrong. */
  readonly malformed: readonly string[];
  readonly secrets: readonly string[];
}

interface Ground extends DestinationUnderTest {
  readonly receiver: Receiver;
}

interface Context {
  after(release: () => Promise<void>): void;
}

const SOON_MS = 5_000;
const DEADLINE_MS = 300;
/** A busy machine's own slowness. */
const SLACK_MS = 2_000;

const names: Names = {
  async lookUp(name) {
    if (name === 'stalls.test') return await new Promise<never>(() => {});
    if (name === 'metadata.test') return ['169.254.169.254'];
    throw new NameError(`${name} could not be resolved (ENOTFOUND)`);
  },
};

export function destinationContract(kind: string, options: ContractOptions): void {
  const { yes, read, malformed, secrets } = options;

  const lead = (context: Context, place: string, deadlineMs = SOON_MS): DestinationUnderTest => {
    const made = options.make(place, { deadlineMs, names });
    context.after(() => made.close());
    return made;
  };
  const ground = async (context: Context, behaviour: Behaviour, deadlineMs = SOON_MS): Promise<Ground> => {
    const receiver = await startReceiver();
    context.after(() => receiver.close());
    receiver.behave(behaviour, 'everything');
    return { receiver, ...lead(context, `127.0.0.1:${receiver.port}`, deadlineMs) };
  };
  const parcel = (address: string, changes: Partial<Parcel> = {}): Parcel => ({
    ...sampleParcel(address),
    secrets,
    ...changes,
  });

  describe(`${kind} as a destination`, () => {
    it('judges an address by its form, and says its normal form', () => {
      const { destination, address } = options.make('127.0.0.1:9', { deadlineMs: SOON_MS, names });
      const checked = destination.check(address);
      assert.ok('normal' in checked, JSON.stringify(checked));
      assert.deepEqual(destination.check(checked.normal), checked);
      for (const wrong of malformed) {
        const refused = destination.check(wrong);
        assert.ok('problem' in refused, wrong);
        assert.match(refused.problem, /^\S.*[^.\s]$/);
      }
    });

    it('hands over the very bytes, under the id', async (t) => {
      const { destination, address, receiver } = await ground(t, yes);
      const sent = parcel(address);
      const outcome = await destination.attempt(sent);
      assert.equal(outcome.kind, 'ok', outcome.answer);
      assert.equal(outcome.status, 200);
      assert.equal(receiver.received.length, 1);
      const arrived = read(first(receiver));
      assert.equal(arrived.id, sent.id);
      assert.equal(arrived.encoding, undefined);
      assert.ok(arrived.bytes.equals(sent.body));
    });

    it('marks what it compresses, which unpacks to the very bytes', async (t) => {
      const { destination, address, receiver } = await ground(t, yes);
      const sent = parcel(address, { compressed: true });
      assert.equal((await destination.attempt(sent)).kind, 'ok');
      const arrived = read(first(receiver));
      assert.equal(arrived.encoding, 'gzip');
      assert.ok(arrived.bytes.length < sent.body.length);
      assert.ok(gunzipSync(arrived.bytes).equals(sent.body));
    });

    it('says the same id and the same bytes when it is asked once more', async (t) => {
      const { destination, address, receiver } = await ground(t, inTurn(status(503, {}, 'come back'), yes));
      const sent = parcel(address);
      const failed = await destination.attempt(sent);
      assert.deepEqual([failed.kind, failed.status, failed.answer], ['status', 503, 'come back']);
      assert.equal((await destination.attempt({ ...sent, sentAt: sent.sentAt + 60_000 })).kind, 'ok');
      const [one, other] = receiver.received.map(read);
      assert.deepEqual(one, other);
      assert.equal(receiver.received.length, 2);
    });

    it('hands on when it should come back', async (t) => {
      const { destination, address } = await ground(t, status(429, { 'retry-after': '120' }));
      const { kind, status: code, retryAfter } = await destination.attempt(parcel(address));
      assert.deepEqual([kind, code, retryAfter], ['status', 429, '120']);
    });

    for (const code of [400, 403, 404, 410, 500, 503]) {
      it(`says that the answer was ${code}`, async (t) => {
        const { destination, address } = await ground(t, status(code, {}, 'because\0'));
        const { kind, status: said, answer, retryAfter } = await destination.attempt(parcel(address));
        assert.deepEqual([kind, said, answer, retryAfter], ['status', code, 'because', null]);
      });
    }

    it('follows no redirect', async (t) => {
      const { destination, address, receiver } = await ground(t, status(301, { location: '/elsewhere' }));
      const { kind, status: code } = await destination.attempt(parcel(address));
      assert.deepEqual([kind, code], ['redirect', 301]);
      assert.equal(receiver.received.length, 1);
    });

    it('reads little of an endless answer', async (t) => {
      const { destination, address } = await ground(t, flood);
      const outcome = await destination.attempt(parcel(address));
      assert.equal(outcome.kind, 'too_large');
      assert.ok(outcome.answer.length <= 10_000);
    });

    for (const [what, behaviour] of [
      ['hangs up without an answer', hangUp],
      ['hangs up within its answer', closeEarly],
    ] as const) {
      it(`says when the far end ${what}`, async (t) => {
        const { destination, address } = await ground(t, behaviour);
        assertNothing(await destination.attempt(parcel(address)), 'closed');
      });
    }

    for (const [what, behaviour] of [
      ['before the headers', hang],
      ['within the body', dribble(20)],
    ] as const) {
      it(`ends in time when the far end stalls ${what}`, async (t) => {
        const { destination, address } = await ground(t, behaviour, DEADLINE_MS);
        const outcome = await inTime(() => destination.attempt(parcel(address)));
        assertNothing(outcome, 'timeout');
        assert.match(outcome.answer, /^no complete answer within 0\.3 s/);
      });
    }

    it('ends in time when the name stalls', async (t) => {
      const { destination, address } = lead(t, 'stalls.test:80', DEADLINE_MS);
      assertNothing(await inTime(() => destination.attempt(parcel(address))), 'timeout');
    });

    it('says when nobody listens', async (t) => {
      const { destination, address } = lead(t, `127.0.0.1:${await freePort()}`);
      assertNothing(await destination.attempt(parcel(address)), 'refused');
    });

    it('says when the name has no address', async (t) => {
      const { destination, address } = lead(t, 'nowhere.test:80');
      assertNothing(await destination.attempt(parcel(address)), 'dns');
    });

    it('goes nowhere that nobody may go', async (t) => {
      for (const place of ['169.254.169.254:80', 'metadata.test:80']) {
        const { destination, address } = lead(t, place);
        assertNothing(await destination.attempt(parcel(address)), 'blocked');
      }
    });

    it('sends nothing to an address of a wrong form', async (t) => {
      const { destination, receiver } = await ground(t, yes);
      for (const wrong of malformed) assertNothing(await destination.attempt(parcel(wrong)), 'invalid_url');
      assert.equal(receiver.received.length, 0);
    });

    it('takes a far end’s yes, and says why there is none', async (t) => {
      const { destination, address, receiver } = await ground(t, yes);
      assert.equal(await destination.verify(address), null);
      receiver.behave(status(500), 'everything');
      assert.match((await destination.verify(address)) ?? '', /\b500\b/);
      assert.ok(receiver.received.every((request) => !isNotification(request, read)));
      const away = lead(t, `127.0.0.1:${await freePort()}`);
      assert.match((await away.destination.verify(away.address)) ?? '', /cannot be reached/);
      const slow = lead(t, 'stalls.test:80', DEADLINE_MS);
      assert.match((await inTime(() => slow.destination.verify(slow.address))) ?? '', /within 0\.3 s/);
      for (const wrong of malformed) assert.equal(typeof (await destination.verify(wrong)), 'string');
    });
  });
}

/** A notification about an open of a message. */
export function sampleParcel(address: string, changes: Partial<Parcel> = {}): Parcel {
  const grantId = '0b7c7b7e-3a1c-7cc1-8a51-6f4d1c0a9a01';
  const applicationId = '1c7c7b7e-3a1c-7cc1-8a51-6f4d1c0a9a02';
  const messageId = wireId('msg', '018f4b0e-0000-7000-8000-000000000001');
  const id = wireId('ntf', '018f4b0e-0000-7000-8000-00000000000a');
  const body = JSON.stringify({
    specversion: '1.0',
    type: 'message.opened',
    id,
    data: { application_id: applicationId, object: { message_id: messageId, label: 'Zażółć 🐙 '.repeat(40) } },
  });
  return {
    address,
    secrets: [],
    id,
    body: Buffer.from(body),
    compressed: false,
    sentAt: 1_795_295_583_000,
    about: { trigger: 'message.opened', applicationId, grantId, messageId },
    ...changes,
  };
}

function first(receiver: Receiver): Received {
  const [request] = receiver.received;
  assert.ok(request);
  return request;
}

function isNotification(request: Received, read: ContractOptions['read']): boolean {
  try {
    return read(request).bytes.length > 0;
  } catch {
    return false;
  }
}

function assertNothing(outcome: Outcome, kind: Outcome['kind']): void {
  const { answer, ...rest } = outcome;
  assert.deepEqual(rest, { kind, status: null, retryAfter: null }, answer);
  assert.match(answer, /^\S.*[^.\s]$/);
}

async function inTime<T>(run: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await run();
  const took = performance.now() - began;
  assert.ok(took < DEADLINE_MS + SLACK_MS, `took ${Math.round(took)} ms`);
  return result;
}
