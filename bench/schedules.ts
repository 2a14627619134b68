// Ten thousand schedules of one application that are due at the same moment, and readers who ask the same process for
// pixels and links meanwhile: how long these wait before, during and after. Parts: smtp, which runs alone when none is
// named, and practice.
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent } from 'undici';
import { connectEmbedded } from '../src/db/embedded.ts';
import { connect } from '../src/db/pool.ts';
import { eventually, type Service, startService } from '../test/support/service.ts';
import { type Child, startChild } from './load/child.ts';
import { cpuOf } from './load/dovecot-for-many.ts';
import { trackedIn } from './load/mail-parts.ts';
import type { Arrived, SinkOptions } from './load/mail-sink.ts';
import { type Figure, runParts } from './load/parts.ts';
import type { Answers, Reading } from './load/readers.ts';
import { residentMb } from './load/resident.ts';
import { startSendsReceiver } from './load/sends-receiver.ts';

const SCHEDULES = Number(process.env.BENCH_SCHEDULES ?? 10_000);
const GRANTS = 200;
const IN_FLIGHT = 32;
/** Sent at once before, for readers to look at. */
const READ = 100;
const PER_SECOND = 300;
const IDLE_S = 30;
/** Between making them and the idle time. */
const SETTLE_S = 5;
/** How long making them may take; what it does not need is waited for. */
const MAKING_S = Math.ceil(SCHEDULES / 250) + 10;
const LEAVE_WITHIN_MS = 100_000;

const parts = { smtp: () => leaving(true), practice: () => leaving(false) };
await runParts(process.argv.length > 2 ? parts : { smtp: parts.smtp });

interface Ground {
  readonly service: Service;
  readonly grants: readonly string[];
  /** Subjects of what the recipients have, as often as they have it, and when the last came (Unix milliseconds). */
  arrivals(): Promise<{ readonly subjects: readonly string[]; readonly last: number }>;
  /** How many. */
  count(): Promise<number>;
  /** Paths of pixels and links in what came so far. */
  tracked(): Promise<readonly string[]>;
  close(): Promise<void>;
}

async function leaving(throughSmtp: boolean): Promise<Figure[]> {
  const ground = throughSmtp ? await smtpGround() : await practiceGround();
  const { service, grants } = ground;
  const receiver = await startSendsReceiver();
  const { told } = receiver;
  const hook = await service.api('POST', '/v3/webhooks', {
    trigger_types: ['message.send_success'],
    webhook_url: receiver.url,
  });
  if (hook.status !== 200) throw new Error(hook.text);
  const agent = new Agent({ connections: IN_FLIGHT, pipelining: 1 });
  const key = await service.apiKey();
  const post = async (grant: string, subject: string, extra: object): Promise<void> => {
    for (;;) {
      const response = await agent.request({
        origin: service.url,
        path: `/v3/grants/${grant}/messages/send`,
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ ...mailOf(subject), ...extra }),
      });
      const text = await response.body.text();
      if (response.statusCode === 200) return;
      if (response.statusCode !== 429) throw new Error(text);
      await delay(Number(response.headers['retry-after'] ?? 1) * 1000);
    }
  };
  await inTurns(READ, (index) => post(grants[index % grants.length] ?? '', `Read ${index}`, {}));
  const reading: Reading = { port: service.port, paths: await ground.tracked(), perSecond: PER_SECOND };
  if (reading.paths.length !== READ * 3) throw new Error(`${reading.paths.length} addresses to ask for`);

  const sendAt = Math.ceil(Date.now() / 1000) + Math.max(60, MAKING_S) + SETTLE_S + IDLE_S;
  const making = performance.now();
  await inTurns(SCHEDULES, (index) =>
    post(grants[index % grants.length] ?? '', `Schedule ${index}`, { send_at: sendAt }),
  );
  const made = (performance.now() - making) / 1000;
  console.log(`  ${SCHEDULES} made by the API in ${made.toFixed(1)} s, all for the same second`);
  const due = sendAt * 1000;
  const idleFrom = due - IDLE_S * 1000;
  if (Date.now() > idleFrom - SETTLE_S * 1000) console.log('  NOTE making them left no time to settle');
  await delay(idleFrom - 2_000 - Date.now());
  console.log(`  resident memory ${residentMb(service.child.pid ?? 0).toFixed(0)} MB`);

  const readers = startChild('readers');
  await readers.ask('start', reading);
  await delay(idleFrom - Date.now());
  const used = [await cpuUsed(service)];
  await delay(due - Date.now());
  used.push(await cpuUsed(service));
  await eventually(
    `all ${SCHEDULES} leave`,
    async () => {
      if ((await ground.count()) >= SCHEDULES) return true;
      return await delay(500, undefined);
    },
    LEAVE_WITHIN_MS,
  ).catch((error: Error) => console.log(`  NOTE ${error.message}`));
  used.push(await cpuUsed(service));
  const watchedMs = Date.now() - due;
  console.log(`  resident memory ${residentMb(service.child.pid ?? 0).toFixed(0)} MB`);
  const afterFrom = Date.now() + SETTLE_S * 1000;
  await delay(SETTLE_S * 1000 + IDLE_S * 1000);
  const answers: Answers = Object(await readers.ask('answers'));
  await readers.ask('stop');

  const { subjects, last } = await ground.arrivals();
  const seconds = (last - due) / 1000;
  const [cpuBefore = 0, cpuDue = 0, cpuLeft = 0] = used;
  const idleCpu = ((cpuDue - cpuBefore) / (IDLE_S * 1000)) * watchedMs;
  const before = within(answers, idleFrom, due);
  const during = within(answers, due, last);
  const after = within(answers, afterFrom, Number.POSITIVE_INFINITY);
  const idle = [...before, ...after].sort((a, b) => a - b);
  for (const [name, times] of Object.entries({ before, during, after })) {
    console.log(`  ${name.padEnd(6)} ${times.length} answers: ${shares(times)} ms (p50, p95, p99, most)`);
  }
  everyTen(answers, due, last);
  const once = [new Set(subjects).size, subjects.length, told.size].every((count) => count === SCHEDULES);
  console.log(`  ${subjects.length} mails of ${new Set(subjects).size} schedules came`);
  console.log(`  ${told.size} told by webhook, ${receiver.again()} of them again`);
  readers.end();
  receiver.close();
  await ground.close();
  const name = throughSmtp ? 'schedules' : 'practice_schedules';
  return [
    {
      name: `${name}_edge_p99_ratio`,
      wanted: '<= 1.3',
      measured: (share(during, 0.99) / share(idle, 0.99)).toFixed(2),
    },
    { name: `${name}_edge_ms_p50_p99_idle_before`, wanted: '', measured: pair(before) },
    { name: `${name}_edge_ms_p50_p99_leaving`, wanted: '', measured: pair(during) },
    { name: `${name}_edge_ms_p50_p99_idle_after`, wanted: '', measured: pair(after) },
    { name: `${name}_cpu_us`, wanted: '', measured: ((cpuLeft - cpuDue - idleCpu) / SCHEDULES).toFixed(0) },
    { name: `${name}_all_left_s`, wanted: '< 60', measured: seconds.toFixed(1) },
    { name: `${name}_each_once`, wanted: 'yes', measured: once ? 'yes' : 'no' },
  ];
}

function mailOf(subject: string): object {
  const words = 'Some words that a person would write in a mail to another, and then some more.';
  return {
    to: [{ email: 'kim@example.test' }],
    subject,
    body: `<html><body>${`<p>${words}</p>`.repeat(20)}
<p><a href="https://example.com/offer?id=1">The offer</a> <a href="https://example.com/terms">Terms</a></p></body></html>`,
    tracking_options: { opens: true, links: true, thread_replies: false, label: 'bench' },
  };
}

/** 200 grants of one mail server, which send only and keep no copies. */
async function smtpGround(): Promise<Ground> {
  const options: SinkOptions = { tls: null };
  const sink = startChild('mail-sink', options);
  const port = Number(await sink.ask('port'));
  const service = await startService({
    env: {
      TELLTALE_LOG_LEVEL: 'warn',
      TELLTALE_PUBLIC_URL: 'http://mail.example.test',
      TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
    },
  });
  const grants = await makeGrants(service, '/v3/connect/custom', (email) => ({
    provider: 'imap',
    settings: { email, smtp_username: email, smtp_password: 'x', smtp_host: '127.0.0.1', smtp_port: port },
  }));
  return {
    service,
    grants,
    async count() {
      return Number(Object(await sink.ask('count')).mails);
    },
    async arrivals() {
      const { last } = Object(await sink.ask('count'));
      return { subjects: (await arrivedAt(sink)).map(({ subject }) => subject), last };
    },
    tracked: async () => (await arrivedAt(sink)).flatMap(({ tracked }) => tracked),
    async close() {
      await service.stop();
      sink.end();
    },
  };
}

/** 200 practice grants, whose mails lie in the service's own PostgreSQL. */
async function practiceGround(): Promise<Ground> {
  const service = await startService({ env: { TELLTALE_LOG_LEVEL: 'warn' } });
  const grants = await makeGrants(service, '/practice/grants', (email) => ({ email }));
  const connection = await connectEmbedded(service.dataDir);
  if (!connection) throw new Error('no database');
  const sql = connect(connection, { max: 1, applicationName: 'bench' });
  return {
    service,
    grants,
    async count() {
      const [row] = await sql<{ mails: number }[]>`
        select count(*)::integer as mails from practice_messages where subject like 'Schedule %'`;
      return row?.mails ?? 0;
    },
    async arrivals() {
      const rows = await sql<{ subject: string; at: Date }[]>`
        select subject, received_at as at from practice_messages where subject like 'Schedule %' order by received_at`;
      return { subjects: rows.map(({ subject }) => subject), last: rows.at(-1)?.at.getTime() ?? 0 };
    },
    async tracked() {
      const rows = await sql<{ raw: Buffer }[]>`select raw from practice_messages where subject like 'Read %'`;
      return rows.flatMap(({ raw }) => trackedIn(raw));
    },
    async close() {
      await sql.end({ timeout: 1 });
      await service.stop();
    },
  };
}

async function makeGrants(service: Service, path: string, body: (email: string) => object): Promise<string[]> {
  const grants: string[] = [];
  for (let made = 0; made < GRANTS; made++) {
    const answer = await service.api('POST', path, body(`owner${made}@example.test`));
    if (answer.status !== 201) throw new Error(answer.text);
    grants.push(String(answer.at('data.id')));
  }
  return grants;
}

async function arrivedAt(sink: Child): Promise<readonly Arrived[]> {
  return Object(await sink.ask('arrived'));
}

async function inTurns(count: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

function within(answers: Answers, from: number, to: number): number[] {
  return answers
    .filter(([planned]) => planned >= from && planned < to)
    .map(([, took]) => took)
    .sort((a, b) => a - b);
}

function share(sorted: readonly number[], part: number): number {
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}

/** Of the service's own process, in microseconds. */
async function cpuUsed({ child }: Service): Promise<number> {
  return cpuOf(await readFile(`/proc/${child.pid}/stat`, 'utf8'));
}

/** p50, p95, p99 and the longest, in milliseconds. */
function shares(sorted: readonly number[]): string {
  return `${[0.5, 0.95, 0.99].map((part) => share(sorted, part).toFixed(2)).join(', ')}, ${(sorted.at(-1) ?? 0).toFixed(1)}`;
}

function pair(sorted: readonly number[]): string {
  return `${share(sorted, 0.5).toFixed(2)}, ${share(sorted, 0.99).toFixed(2)}`;
}

/** How it was in each ten seconds of the leaving. */
function everyTen(answers: Answers, from: number, to: number): void {
  for (let at = from; at < to; at += 10_000) {
    const times = within(answers, at, Math.min(to, at + 10_000));
    console.log(`  from ${(at - from) / 1000} s on: ${shares(times)} ms`);
  }
}
