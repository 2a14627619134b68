// Replies through a whole service, a real Dovecot and PostgreSQL with fsync. Parts: latency, idle, catch-up; all of them, or
// those named as arguments. Needs what `noDovecot` asks for.

import { execFile } from 'node:child_process';
import { chown, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { noDovecot } from '../test/support/dovecot.ts';
import { NOBODY } from '../test/support/dovecot-config.ts';
import { openGate } from '../test/support/gate.ts';
import { eventually, type Service } from '../test/support/service.ts';
import { type ImapCommand, startSlowProxy } from '../test/support/slow-proxy.ts';
import { cpuOf, type DovecotForMany, startDovecotForMany } from './load/dovecot-for-many.ts';
import { otherMail, type Reference, replyTo } from './load/incoming-mail.ts';
import { INSPECTED, inspect, type Memory } from './load/inspector.ts';
import { type Figure, runParts } from './load/parts.ts';
import { type OpenMessage, type RepliesGround, repliesGround } from './load/replies-ground.ts';

const run = promisify(execFile);
const CORRESPONDENTS = 4;
const REPLIES_EACH = 60;
const MAILBOXES = Number(process.env.BENCH_MAILBOXES ?? 2_000);
const IDLE_SECONDS = 60;
const BESIDE_IDLE = 40;
/** How long all their connections are cut and refused. */
const AWAY_MS = 5_000;
const BACKLOG = 10_000;
const BACKLOG_REPLIES = 10;
/** A mailbox whose messages wait for answers has more of them than are answered. */
const OPEN_IN_BACKLOG = 200;
const WAY_MS = 25;

const missing = noDovecot();
if (missing !== false) {
  console.log(`  not measured: ${missing}`);
  process.exit();
}
await runParts({ latency, idle, 'catch-up': catchUp });

/** From Dovecot's word that it has a reply to the webhook's arrival: of mailboxes beside each other, one reply at a time in each. */
async function latency(): Promise<Figure[]> {
  const dovecot = await startDovecotForMany({ tls: true });
  const ground = await repliesGround(dovecot, 'tls');
  const addresses = Array.from({ length: CORRESPONDENTS }, (_, at) => `owner${at}@example.test`);
  const grants = await Promise.all(addresses.map((address) => ground.mailbox(address, dovecot.port)));
  const open = await ground.openMessages(grants, REPLIES_EACH);
  const since = new Date();
  const service = await ground.start({ TELLTALE_LOG_LEVEL: 'warn' });
  await ground.watched(CORRESPONDENTS, since, 30_000);
  const delays = (
    await Promise.all(addresses.map((address) => converse(dovecot, ground, address, open.get(address) ?? [])))
  ).flat();
  await finish(service, ground, dovecot);
  return [{ name: 'reply_to_webhook_ms_p50_p95_p99', wanted: 'p95<2000', measured: shares(delays) }];
}

/** Replies to each of the messages, each after the one before was told and at no particular moment; milliseconds. */
async function converse(
  dovecot: DovecotForMany,
  ground: RepliesGround,
  address: string,
  messages: readonly OpenMessage[],
): Promise<number[]> {
  const delays: number[] = [];
  for (const message of messages) {
    await delay(Math.random() * 1000);
    const taken = await dovecot.deliver(address, replyTo(address, message));
    const told = await eventually(`the reply to ${message.id} is told`, () => ground.told.get(message.id), 60_000);
    delays.push(told - taken);
  }
  return delays;
}

/** What many mailboxes in which nothing happens cost one process, and how it takes their server's return. */
async function idle(): Promise<Figure[]> {
  const dovecot = await startDovecotForMany({ tls: true });
  const gate = await openGate(dovecot.port);
  const ground = await repliesGround(dovecot, 'tls');
  const service = await ground.start({ ...INSPECTED, TELLTALE_LOG_LEVEL: 'warn' });
  const inspector = await inspect(service);
  await delay(5_000);
  await inspector.memory();
  await delay(2_000);
  const before = await inspector.memory();
  const addresses = Array.from({ length: MAILBOXES }, (_, at) => `u${String(at).padStart(5, '0')}@example.test`);
  const grants = await inTurns(addresses, 8, (address) => ground.mailbox(address, gate.port));
  console.log(`  ${MAILBOXES} grants; the service before them: ${shown(before)}`);
  const cpuBefore = await cpuUsed(service);
  const since = new Date();
  const open = await ground.openMessages(grants, 1);
  const seconds = await ground.watched(MAILBOXES, since, 600_000);
  const connectCpu = ((await cpuUsed(service)) - cpuBefore) / MAILBOXES;
  console.log(`  all read to their end after ${seconds.toFixed(1)} s, CPU each ${connectCpu.toFixed(0)} µs`);
  await delay(15_000);
  await inspector.memory();
  await delay(5_000);
  const after = await inspector.memory();
  console.log(`  with all of them: ${shown(after)}`);
  const [ours, theirs] = [await cpuUsed(service), await dovecot.cpu()];
  await delay(IDLE_SECONDS * 1000);
  const idleCpu = ((await cpuUsed(service)) - ours) / (IDLE_SECONDS * 1e4);
  const theirCpu = ((await dovecot.cpu()) - theirs) / (IDLE_SECONDS * 1e4);
  const later = await inspector.memory();
  console.log(
    `  ${IDLE_SECONDS} s later: ${shown(later)}; CPU ${idleCpu.toFixed(1)} %, Dovecot's ${theirCpu.toFixed(1)} %`,
  );
  const chosen = addresses.filter((_, at) => at % Math.ceil(MAILBOXES / BESIDE_IDLE) === 0);
  const delays = await inTurns(chosen, 2, async (address) =>
    converse(dovecot, ground, address, open.get(address) ?? []),
  );

  await gate.shut();
  await delay(AWAY_MS);
  const back = Date.now();
  const stormCpu = await cpuUsed(service);
  await gate.open();
  await eventually('all are connected again', () => gate.connections() >= MAILBOXES || undefined, 600_000);
  const stormSeconds = (Date.now() - back) / 1000;
  const stormEach = ((await cpuUsed(service)) - stormCpu) / MAILBOXES;
  const afterStorm = await inspector.memory();
  console.log(
    `  server away for ${AWAY_MS / 1000} s: all connected again ${stormSeconds.toFixed(1)} s after its return, ` +
      `CPU each ${stormEach.toFixed(0)} µs; ${shown(afterStorm)}`,
  );
  inspector.close();
  await finish(service, ground, dovecot);
  await gate.shut();
  const each = (kind: keyof Memory): string => ((after[kind] - before[kind]) / MAILBOXES).toFixed(1);
  return [
    { name: 'idle_mailboxes', wanted: '2000', measured: String(MAILBOXES) },
    { name: 'idle_resident_kb_each', wanted: '< 150', measured: each('resident') },
    { name: 'idle_heap_kb_each', wanted: '', measured: each('heap') },
    { name: 'idle_connected_s', wanted: '', measured: seconds.toFixed(1) },
    { name: 'idle_connect_cpu_us_each', wanted: '', measured: connectCpu.toFixed(0) },
    { name: 'idle_cpu_percent', wanted: '', measured: idleCpu.toFixed(1) },
    { name: 'idle_reply_to_webhook_ms_p50_p95_p99', wanted: 'p95<2000', measured: shares(delays.flat()) },
    { name: 'storm_all_connected_again_s', wanted: '', measured: stormSeconds.toFixed(1) },
    { name: 'storm_resident_mb', wanted: '', measured: (afterStorm.resident / 1024).toFixed(0) },
  ];
}

/** What came while the service was down, straight from Dovecot and over a long way. */
async function catchUp(): Promise<Figure[]> {
  return [...(await catchUpOver(null)), ...(await catchUpOver(WAY_MS))];
}

async function catchUpOver(wayMs: number | null): Promise<Figure[]> {
  const dovecot = await startDovecotForMany({ tls: false });
  const proxy = wayMs === null ? null : await startSlowProxy(dovecot.port, { delayMs: wayMs });
  const ground = await repliesGround(dovecot, 'starttls');
  const owner = 'owner@example.test';
  const grant = await ground.mailbox(owner, proxy?.port ?? dovecot.port);
  const open = (await ground.openMessages([grant], OPEN_IN_BACKLOG)).get(owner) ?? [];
  const opened = new Date();
  const first = await ground.start({ TELLTALE_LOG_LEVEL: 'warn' });
  await ground.watched(1, opened, 30_000);
  await first.stop();
  const answered = open.filter((_, at) => at % (OPEN_IN_BACKLOG / BACKLOG_REPLIES) === 0);
  const bytes = await fill(dovecot.maildir(owner), owner, answered);
  console.log(`  ${BACKLOG} mails of ${(bytes / BACKLOG / 1024).toFixed(1)} kB on average`);

  proxy?.forget();
  const began = Date.now();
  const service = await ground.start({ TELLTALE_LOG_LEVEL: 'warn' });
  const ready = Date.now();
  const cpuBefore = await cpuUsed(service);
  const isTold = (): true | undefined => answered.every(({ id }) => ground.told.has(id)) || undefined;
  await eventually('every reply is told', isTold, 120_000);
  const last = Math.max(...answered.map(({ id }) => ground.told.get(id) ?? Number.NaN));
  await ground.watched(1, new Date(began), 120_000);
  const done = Date.now();
  const cpu = ((await cpuUsed(service)) - cpuBefore) / 1e6;
  await delay(3_000);
  if (ground.notifications() !== BACKLOG_REPLIES) console.log(`  told ${ground.notifications()} times`);
  const login = proxy?.commands.find(({ name }) => name === 'LOGIN' || name === 'AUTHENTICATE')?.at ?? null;
  const way = wayMs === null ? 'direct' : `plus_${2 * wayMs}ms`;
  console.log(
    `  ${way}: ready ${ready - began} ms after the start, ` +
      `${login === null ? '' : `login ${login - began} ms after it, `}last reply told ${last - began} ms after it, ` +
      `all dealt with ${done - began} ms after it; CPU ${cpu.toFixed(1)} s`,
  );
  if (proxy !== null) tellCommands(proxy.commands);
  const fetches = proxy?.commands.filter(({ name }) => name.endsWith('FETCH')) ?? [];
  await finish(service, ground, dovecot);
  await proxy?.close();
  return [
    { name: `catch_up_${way}_s`, wanted: '< 10', measured: ((last - (login ?? ready)) / 1000).toFixed(2) },
    { name: `catch_up_${way}_all_s`, wanted: '', measured: ((done - (login ?? ready)) / 1000).toFixed(2) },
    { name: `catch_up_${way}_cpu_s`, wanted: '', measured: cpu.toFixed(1) },
    ...(proxy === null
      ? []
      : [{ name: 'catch_up_fetch_commands', wanted: `<= ${BACKLOG / 500}`, measured: String(fetches.length) }]),
  ];
}

/** Puts the backlog into an inbox as files, the replies evenly among them and one of them last; bytes. */
async function fill(maildir: string, owner: string, answered: readonly OpenMessage[]): Promise<number> {
  let bytes = 0;
  const began = Math.floor(Date.now() / 1000);
  const every = BACKLOG / answered.length;
  const numbers = Array.from({ length: BACKLOG }, (_, number) => number);
  await inTurns(numbers, 16, async (number) => {
    const message = number % every === every - 1 ? answered[Math.floor(number / every)] : undefined;
    const mail = message ? replyTo(owner, message, referenceOf(number / every, message)) : otherMail(owner, number);
    bytes += Buffer.byteLength(mail);
    const file = join(maildir, 'new', `${began}.M${String(number).padStart(6, '0')}P1Q${number}.bench`);
    await writeFile(file, mail);
    await chown(file, NOBODY, NOBODY);
    await utimes(file, began, began);
  });
  await run('sync'); // else it is this that is waited for
  return bytes;
}

/** Of ten replies, most by both of the headers' ways and one by what it quotes. */
function referenceOf(turn: number, { pixel }: OpenMessage): Reference {
  if (Math.floor(turn) === 4) return { quote: pixel };
  return Math.floor(turn) % 3 === 0 ? 'references' : 'in-reply-to';
}

function tellCommands(commands: readonly ImapCommand[]): void {
  const counts = new Map<string, number>();
  for (const { name } of commands) counts.set(name, (counts.get(name) ?? 0) + 1);
  console.log(`  commands: ${[...counts].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  const kinds = new Map<string, number>();
  for (const { name, about } of commands.filter((command) => command.name.endsWith('FETCH'))) {
    const kind = `${name} ${about
      .replaceAll(/^[\d:,*]+/g, 'n')
      .replaceAll(/\d+/g, '0')
      .slice(0, 100)}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  for (const [kind, count] of kinds) console.log(`    ${count} x ${kind}`);
}

async function finish(service: Service, ground: RepliesGround, dovecot: DovecotForMany): Promise<void> {
  const said = service
    .errors()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  if (said.length > 0)
    console.log(`  the service logged ${said.length} lines, such as ${said.slice(0, 3).join('\n    ')}`);
  await service.stop();
  await ground.close();
  await dovecot.close();
}

/** In the order of the items. */
async function inTurns<I, O>(items: readonly I[], most: number, work: (item: I) => Promise<O>): Promise<O[]> {
  const results: O[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    for (let at = next++; at < items.length; at = next++) {
      const item = items[at];
      if (item !== undefined) results[at] = await work(item);
    }
  };
  await Promise.all(Array.from({ length: most }, one));
  return results;
}

/** Microseconds. */
async function cpuUsed({ child }: Service): Promise<number> {
  return cpuOf(await readFile(`/proc/${child.pid}/stat`, 'utf8'));
}

function shown({ resident, heap, external }: Memory): string {
  const [rss, used, outside] = [resident, heap, external].map((kb) => (kb / 1024).toFixed(0));
  return `resident ${rss} MB, heap ${used} MB, buffers ${outside} MB`;
}

function shares(delays: readonly number[]): string {
  const sorted = [...delays].sort((a, b) => a - b);
  return [0.5, 0.95, 0.99]
    .map((share) => (sorted[Math.floor(sorted.length * share)] ?? Number.NaN).toFixed(0))
    .join(', ');
}
