// Every way a delivery can end, from the event to the time of the next attempt.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NameError, type Names } from '../../src/names.ts';
import { expired, stranger } from '../support/bad-certificates.ts';
import { certificate } from '../support/certificate.ts';
import { fullBacklog } from '../support/full-backlog.ts';
import { notifyRun, type Run, until } from '../support/notify-run.ts';
import { say, sayAndEnd, sayAndReset, startRawReceiver, trickle } from '../support/raw-receiver.ts';
import {
  type Behaviour,
  closeEarly,
  dribble,
  flood,
  hang,
  hangUp,
  startReceiver,
  status,
} from '../support/receiver.ts';

const linux = process.platform === 'linux' ? {} : { skip: 'needs the backlog of Linux' };

interface Case {
  /** Answers where the notification goes. */
  readonly at: (run: Run) => Promise<string>;
  readonly outcome: string;
  readonly status?: number;
  readonly answer?: RegExp;
  /** Where it rests, or the seconds after which it is tried again. */
  readonly leadsTo: 'delivered' | 'stopped' | number;
}

const NOW = Date.now();
const ATTEMPT_MS = 1_500;
const RETRY = 5;
const MINUTE = 60;

const NAMES: Readonly<Record<string, readonly string[]>> = {
  'receiver.test': ['127.0.0.1'],
  'other.test': ['127.0.0.1'],
  'expired.test': ['127.0.0.1'],
  'stranger.test': ['127.0.0.1'],
  'metadata.test': ['169.254.169.254'],
};
const names: Names = {
  async lookUp(name) {
    const addresses = NAMES[name];
    if (addresses === undefined) throw new NameError(`${name} could not be resolved (ENOTFOUND)`);
    return addresses;
  },
};

function http(behaviour: Behaviour): Case['at'] {
  return async (run) => (await run.receiver(behaviour)).url;
}

function wire(...script: Parameters<typeof startRawReceiver>): Case['at'] {
  return async (run) => (await run.keep(startRawReceiver(...script))).url;
}

function tls(host: string, cert: { readonly key: string; readonly cert: string }): Case['at'] {
  return async (run) => `https://${host}:${(await run.receiver(status(200), { tls: cert })).port}/hook`;
}

function overloaded(code: number, retryAfter: string, seconds: number): Case {
  return {
    at: http(status(code, { 'retry-after': retryAfter })),
    outcome: 'status',
    status: code,
    leadsTo: seconds,
  };
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
const BAD_REQUEST = 'HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n';
const HALF = 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf';

const CASES: Readonly<Record<string, Case>> = {
  'a 200': {
    at: http(status(200, {}, 'thanks')),
    outcome: 'ok',
    status: 200,
    answer: /^thanks$/,
    leadsTo: 'delivered',
  },
  'a 299': { at: http(status(299)), outcome: 'ok', status: 299, leadsTo: 'delivered' },
  'a 204 that claims a body': {
    at: wire(say('HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n')),
    outcome: 'ok',
    status: 204,
    leadsTo: 'delivered',
  },
  'early hints, then a 200': {
    at: wire(say(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`)),
    outcome: 'ok',
    status: 200,
    leadsTo: 'delivered',
  },
  'HTTP/1.0 without a length': {
    at: wire(sayAndEnd('HTTP/1.0 200 OK\r\n\r\nbye')),
    outcome: 'ok',
    status: 200,
    answer: /^bye$/,
    leadsTo: 'delivered',
  },
  'a 200 with a body without end': {
    at: http(flood),
    outcome: 'too_large',
    status: 200,
    answer: /^x{4096}$/,
    leadsTo: 'delivered',
  },
  'a 500 with a huge body': {
    at: http(status(500, {}, 'x'.repeat(1_000_000))),
    outcome: 'too_large',
    status: 500,
    answer: /^x{4096}$/,
    leadsTo: RETRY,
  },

  'a 400': { at: http(status(400, {}, 'no')), outcome: 'status', status: 400, answer: /^no$/, leadsTo: RETRY },
  'a 404': { at: http(status(404)), outcome: 'status', status: 404, leadsTo: RETRY },
  'a 500': { at: http(status(500)), outcome: 'status', status: 500, leadsTo: RETRY },
  'a 599': { at: http(status(599)), outcome: 'status', status: 599, leadsTo: RETRY },
  'a 600': { at: http(status(600)), outcome: 'status', status: 600, leadsTo: RETRY },
  'a 410': { at: http(status(410)), outcome: 'status', status: 410, leadsTo: 'stopped' },
  'a 429': { at: http(status(429)), outcome: 'status', status: 429, leadsTo: MINUTE },
  'a 429 that asks for less than a minute': overloaded(429, '2', MINUTE),
  'a 429 that asks for two minutes': overloaded(429, '120', 120),
  'a 429 that asks for ten thousand years': overloaded(429, '315360000000', 3600),
  'a 429 that asks for what nobody knows': overloaded(429, 'later, dear', MINUTE),
  'a 503 that names a date': overloaded(503, new Date(seconds(NOW) + 600_000).toUTCString(), 600),
  'a 503 that names a date long ago': overloaded(503, 'Sat, 21 Nov 2015 12:10:00 GMT', RETRY),
  ...Object.fromEntries(
    [301, 302, 303, 307, 308].map((code): [string, Case] => [
      `a ${code}`,
      {
        at: async (run) => {
          const forbidden = await run.receiver(() => assert.fail('a redirect was followed'));
          return (await run.receiver(status(code, { location: forbidden.url }))).url;
        },
        outcome: 'redirect',
        status: code,
        leadsTo: RETRY,
      },
    ]),
  ),

  'silence before the headers': { at: http(hang), outcome: 'timeout', leadsTo: MINUTE, answer: /within 1.5 s$/ },
  'headers a byte at a time': { at: wire(trickle('HTTP/1.1 200 OK\r\nx: y', 20)), outcome: 'timeout', leadsTo: MINUTE },
  'a body a byte at a time': {
    at: http(dribble(20)),
    outcome: 'timeout',
    answer: /within 1.5 s$/,
    leadsTo: MINUTE,
  },
  'silence in the TLS handshake': {
    at: async (run) => `https://127.0.0.1:${(await run.keep(startRawReceiver(() => {}))).port}/hook`,
    outcome: 'timeout',
    leadsTo: MINUTE,
  },

  'a hang-up without a word': {
    at: http(hangUp),
    outcome: 'closed',
    answer: /ended before the answer/,
    leadsTo: RETRY,
  },
  'a hang-up in the headers': {
    at: wire(sayAndEnd('HTTP/1.1 200 OK\r\ncontent-le')),
    outcome: 'closed',
    leadsTo: RETRY,
  },
  'a 200 that ends early': { at: http(closeEarly), outcome: 'closed', answer: /after status 200/, leadsTo: RETRY },
  'a 200, then a reset': { at: wire(sayAndReset(HALF)), outcome: 'closed', answer: /after status 200/, leadsTo: RETRY },
  'what is not HTTP': {
    at: wire(say('SSH-2.0-x\r\n')),
    outcome: 'closed',
    answer: /not what HTTP allows/,
    leadsTo: RETRY,
  },
  'a status of two digits': {
    at: wire(say('HTTP/1.1 99 Odd\r\ncontent-length: 0\r\n\r\n')),
    outcome: 'closed',
    answer: /not what HTTP allows/,
    leadsTo: RETRY,
  },
  // RFC 9110 section 15.2 wants it borne; undici hangs up on it, as does every fetch of Node.
  'a 100 that nobody asked for': {
    at: wire(say(`HTTP/1.1 100 Continue\r\n\r\n${OK}`)),
    outcome: 'closed',
    answer: /not what HTTP allows/,
    leadsTo: RETRY,
  },
  'too many headers': {
    at: wire(say(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`)),
    outcome: 'closed',
    answer: /16384 bytes of headers/,
    leadsTo: RETRY,
  },

  'a good certificate': { at: tls('receiver.test', certificate), outcome: 'ok', status: 200, leadsTo: 'delivered' },
  'a certificate for another name': {
    at: tls('other.test', certificate),
    outcome: 'tls',
    answer: /ERR_TLS_CERT_ALTNAME_INVALID/,
    leadsTo: RETRY,
  },
  'a certificate of long ago': { at: tls('expired.test', expired), outcome: 'tls', answer: /EXPIRED/, leadsTo: RETRY },
  'a certificate nobody vouches for': {
    at: tls('stranger.test', stranger),
    outcome: 'tls',
    answer: /SELF_SIGNED/,
    leadsTo: RETRY,
  },
  'plain HTTP where TLS should be': {
    at: async (run) =>
      (await run.keep(startRawReceiver(() => {}, { greeting: BAD_REQUEST }))).url.replace('http:', 'https:'),
    outcome: 'tls',
    answer: /WRONG_VERSION/,
    leadsTo: RETRY,
  },
  'a hang-up in the TLS handshake': {
    at: async (run) => (await run.receiver()).url.replace('http:', 'https:'),
    outcome: 'tls',
    answer: /ended in the TLS handshake/,
    leadsTo: RETRY,
  },

  'nobody at the port': {
    at: async () => {
      const gone = await startReceiver();
      await gone.close();
      return gone.url;
    },
    outcome: 'refused',
    answer: /ECONNREFUSED/,
    leadsTo: RETRY,
  },
  'a name that does not exist': {
    at: async () => 'https://nowhere.test/hook',
    outcome: 'dns',
    answer: /^nowhere.test could not be resolved/,
    leadsTo: RETRY,
  },
  'a name that leads inside': {
    at: async () => 'https://metadata.test/hook',
    outcome: 'blocked',
    answer: /a metadata address/,
    leadsTo: RETRY,
  },
  'an address that is none': {
    at: async () => 'https://user:secret@receiver.test/hook',
    outcome: 'invalid_url',
    answer: /^the URL must not contain a user name/,
    leadsTo: RETRY,
  },
};

function seconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

describe('outcomes', { concurrency: true }, () => {
  it('each outcome is kept with its attempt and leads to its next one', async (t) => {
    const run = await notifyRun(t);
    const { ground, start } = run;
    const { sql } = ground;
    const ids = new Map<string, string>();
    for (const [name, one] of Object.entries(CASES)) {
      ids.set((await ground.destination(await one.at(run))).id, name);
    }
    const unsealed = await ground.destination('https://unsealed.test/hook');
    await sql`update destinations set secret = '\\x00' where id = ${unsealed.id}`;
    ids.set(unsealed.id, 'a secret that cannot be opened');
    const cases: Record<string, Case> = {
      ...CASES,
      'a secret that cannot be opened': { at: async () => '', outcome: 'unrenderable', leadsTo: RETRY },
    };

    const notify = start({
      clock: { ms: seconds(NOW) },
      attemptMs: ATTEMPT_MS,
      logLevel: 'silent', // one of them fails by a fault of ours
      names,
      ca: certificate.cert + expired.cert,
    });
    await ground.happen(await ground.message(), {});
    notify.wakeFanout();
    await until('every attempt is kept', async () => (await sql`select from attempts`).length === ids.size);
    const rows = await sql<Row[]>`
      select a.destination_id, a.attempt, a.outcome, a.status_code, a.answer, a.duration_ms, a.started_at,
        p.next_attempt_at, p.claimed_until, d.state
      from attempts a
      left join pending_deliveries p using (app, destination_id, notification_id)
      left join deliveries d using (app, destination_id, notification_id)`;
    for (const row of rows) {
      const name = ids.get(row.destination_id) ?? '';
      await t.test(name, () => {
        const {
          outcome,
          status: code = null,
          answer = /^/,
          leadsTo,
        } = cases[name] ?? assert.fail('another destination');
        assert.equal(row.outcome, outcome, row.answer);
        assert.equal(row.status_code, code);
        assert.match(row.answer, answer);
        assert.equal(row.attempt, 1);
        assert.equal(row.started_at.getTime(), seconds(NOW));
        if (typeof leadsTo === 'number') {
          assert.equal(row.next_attempt_at && (row.next_attempt_at.getTime() - seconds(NOW)) / 1000, leadsTo);
          assert.equal(row.claimed_until, null);
        } else assert.equal(row.state, leadsTo);
        const [least, most] = outcome === 'timeout' ? [ATTEMPT_MS - 20, ATTEMPT_MS + 1_000] : [0, ATTEMPT_MS];
        assert.ok(row.duration_ms >= least && row.duration_ms <= most, `${row.duration_ms} ms`);
      });
    }
    assert.equal(notify.counts.inFlight, 0);
  });

  it('ten seconds are the end of an attempt, whatever stalls', async (t) => {
    const run = await notifyRun(t);
    const { ground, start, receiver } = run;
    await ground.destination((await receiver(dribble(1_000))).url);
    await ground.destination((await receiver(hang)).url);
    const notify = start();
    await ground.happen(await ground.message(), {});
    notify.wakeFanout();
    const rows = await until(
      'both attempts are kept',
      async () => {
        const found = await ground.sql<Row[]>`select outcome, duration_ms from attempts`;
        return found.length === 2 && found;
      },
      12_000,
    );
    for (const { outcome, duration_ms: took } of rows) {
      assert.equal(outcome, 'timeout');
      assert.ok(took >= 9_980 && took < 11_000, `${took} ms`);
    }
  });

  it('a connection that cannot be made is a timeout too', linux, async (t) => {
    const run = await notifyRun(t);
    const full = await run.keep(fullBacklog());
    await run.ground.destination(`http://127.0.0.1:${full.port}/hook`);
    const notify = run.start({ attemptMs: 500 });
    await run.ground.happen(await run.ground.message(), {});
    notify.wakeFanout();
    const row = await until(
      'the attempt is kept',
      async () => (await run.ground.sql<Row[]>`select outcome, duration_ms from attempts`)[0],
    );
    assert.equal(row.outcome, 'timeout');
    assert.ok(row.duration_ms >= 480 && row.duration_ms < 1_500, `${row.duration_ms} ms`);
  });

  it('a connection that ends as it is used again: an attempt that may have arrived, never a second request unseen', async (t) => {
    const run = await notifyRun(t);
    const { ground } = run;
    const target = await run.keep(
      startRawReceiver((socket, turn) => void (turn === 2 ? socket.resetAndDestroy() : socket.write(OK))),
    );
    await ground.destination(target.url);
    const clock = { ms: NOW };
    const notify = run.start({ clock });
    const message = await ground.message();
    await ground.happen(message, {});
    notify.wakeFanout();
    await run.rested('delivered', 1);
    await ground.happen(message, {});
    notify.wakeFanout();
    await until('the second attempt is kept', async () => (await ground.sql`select from attempts`).length === 2);
    assert.equal(target.requests(), 2);
    assert.equal(target.connections(), 1);
    clock.ms += 5_000;
    notify.wakeDeliver();
    assert.deepEqual(
      (await run.rested('delivered', 2)).map(({ attempts }) => attempts),
      [1, 2],
    );
    assert.equal(target.requests(), 3);
    const kept = await ground.sql`select attempt, outcome from attempts order by notification_id, attempt`;
    assert.deepEqual(
      [...kept].map(({ attempt, outcome }) => `${attempt} ${outcome}`),
      ['1 ok', '1 closed', '2 ok'],
    );
  });
});

interface Row {
  readonly destination_id: string;
  readonly attempt: number;
  readonly outcome: string;
  readonly status_code: number | null;
  readonly answer: string;
  readonly duration_ms: number;
  readonly started_at: Date;
  readonly next_attempt_at: Date | null;
  readonly claimed_until: Date | null;
  readonly state: string | null;
}
