// The memory that mails of 25 MB take of the service on their way through it, one and two at once. The service is a
// process of its own, PostgreSQL others. Parts: smtp, drafts, practice; all of them, or those named as arguments.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectEmbedded } from '../src/db/embedded.ts';
import { connect } from '../src/db/pool.ts';
import { noDovecot } from '../test/support/dovecot.ts';
import { type Service, startService } from '../test/support/service.ts';
import { startChild } from './load/child.ts';
import { type DovecotForMany, startDovecotForMany } from './load/dovecot-for-many.ts';
import { keptIn } from './load/kept-mail.ts';
import { filesIn } from './load/mail-parts.ts';
import type { Arrived, SinkOptions } from './load/mail-sink.ts';
import { type Manner, type PostedFile, postMail, randomFile } from './load/multipart.ts';
import { type Figure, runParts } from './load/parts.ts';
import { forgetPeak, peakMb, residentMb, restingMb } from './load/resident.ts';

/** What is attached to one mail, in bytes: with the rest of its request just below 25 MB. */
const ATTACHED = Number(process.env.BENCH_ATTACHED ?? 24_900_000);
const ROUNDS = 2;
const WARM_UP = 20;
const PATIENCE_MS = 60_000;

await runParts({ smtp, drafts, practice });

/** Through SMTP, and with a copy in Sent where there is a Dovecot. */
async function smtp(): Promise<Figure[]> {
  return [
    ...(await measured(mailGround, 'one_send', 1, sendOf([ATTACHED]))),
    ...(await measured(mailGround, 'two_sends', 2, sendOf([ATTACHED]))),
    ...(await measured(mailGround, 'two_sends_of_ten_files', 2, sendOf(Array<number>(10).fill(ATTACHED / 10)))),
  ];
}

/** Kept as drafts first, then sent: all of it counts. */
async function drafts(): Promise<Figure[]> {
  return await measured(mailGround, 'two_drafts', 2, async ({ path, key, grants }, at, subject) => {
    const files = [randomFile('file.bin', ATTACHED)];
    const made = await postMail(path(`${grants[at]}/drafts`), key, manner(at), mailOf(subject), files);
    const id = idOf(made);
    const began = performance.now();
    const sent = await fetch(path(`${grants[at]}/drafts/${id}`), {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: '{}',
    });
    idOf({ status: sent.status, text: await sent.text() });
    return { files, ms: made.ms + performance.now() - began };
  });
}

async function practice(): Promise<Figure[]> {
  return await measured(practiceGround, 'two_practice_sends', 2, sendOf([ATTACHED]));
}

interface Ground {
  readonly service: Service;
  readonly key: string;
  readonly grants: readonly string[];
  /** The URL of something of a grant. */
  path(rest: string): string;
  /** Resolves once the copies of mails with these subjects lie in Sent, where copies are made. */
  copied(subjects: readonly string[]): Promise<void>;
  /** The files (SHA-256) of the mails with these subjects, by the places where these are. */
  places(subjects: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>>;
  close(): Promise<void>;
}

interface SentFiles {
  readonly files: readonly PostedFile[];
  /** From the first byte of the request to the last of the answer. */
  readonly ms: number;
}

type Act = (ground: Ground, at: number, subject: string) => Promise<SentFiles>;

/**
 * Sends so many at once, some rounds of it, through a new service. The level before is that before the first round, so that
 * what one leaves behind counts in the next; the peak is that until every place has the mails.
 */
async function measured(start: () => Promise<Ground>, name: string, count: number, act: Act): Promise<Figure[]> {
  const ground = await start();
  const pid = ground.service.child.pid ?? 0;
  const before = await restingMb(pid);
  const peaks: number[] = [];
  const times: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    forgetPeak(pid);
    const subjects = Array.from({ length: count }, (_, at) => `${name} ${round}.${at}`);
    const sent = await Promise.all(subjects.map((subject, at) => act(ground, at, subject)));
    const answered = peakMb(pid);
    await ground.copied(subjects);
    await delay(500); // until what follows an answer is done
    const peak = peakMb(pid);
    peaks.push(peak - before);
    times.push(...sent.map(({ ms }) => ms / 1000));
    console.log(
      `  ${name}: ${before.toFixed(0)} MB before, at most ${answered.toFixed(0)} until answered, ${peak.toFixed(0)} in all, ` +
        `${residentMb(pid).toFixed(0)} after; ${sent.map(({ ms }) => `${(ms / 1000).toFixed(1)} s`).join(', ')}`,
    );
    const places = await ground.places(subjects);
    for (const [place, mails] of places) {
      for (const [at, subject] of subjects.entries()) {
        const wanted = (sent[at]?.files ?? []).map(({ hash }) => hash).join();
        if (mails.get(subject)?.join() !== wanted) throw new Error(`${place}: the files of ${subject} are others`);
      }
    }
    console.log(`  every file is what was attached: ${[...places.keys()].join(', ')}`);
  }
  await ground.close();
  const most = Math.max(...peaks);
  return [
    { name: `${name}_memory_ratio`, wanted: '<= 2.5', measured: (most / ((count * ATTACHED) / 1e6)).toFixed(2) },
    { name: `${name}_memory_mb`, wanted: '', measured: most.toFixed(0) },
    { name: `${name}_s`, wanted: '', measured: times.map((time) => time.toFixed(1)).join(', ') },
  ];
}

function sendOf(sizes: readonly number[]): Act {
  return async (ground, at, subject) => {
    const files = sizes.map((size, index) => randomFile(`file-${index}.bin`, Math.floor(size)));
    const url = ground.path(`${ground.grants[at]}/messages/send`);
    const posted = await postMail(url, ground.key, manner(at), mailOf(subject), files);
    idOf(posted);
    return { files, ms: posted.ms };
  };
}

function manner(at: number): Manner {
  return at % 2 === 0 ? 'node' : 'ruby';
}

function mailOf(subject: string): object {
  return {
    to: [{ email: 'kim@example.org' }],
    bcc: [{ email: 'max@example.org' }], // so that the copy in Sent is another mail
    subject,
    body: '<p>Here it is. <a href="https://example.com/offer">The offer</a></p>',
    tracking_options: { opens: true, links: true, thread_replies: true, label: 'bench' },
  };
}

function idOf({ status, text }: { readonly status: number; readonly text: string }): string {
  if (status !== 200) throw new Error(`${status}: ${text.slice(0, 500)}`);
  return String(JSON.parse(text).data.id);
}

async function mailGround(): Promise<Ground> {
  const missing = noDovecot();
  if (missing !== false) console.log(`  without TLS and without a copy in Sent: ${missing}`);
  const dovecot = missing === false ? await startDovecotForMany({ tls: true }) : null;
  const options: SinkOptions = { tls: dovecot && { key: dovecot.keyFile, cert: dovecot.caFile } };
  const sink = startChild('mail-sink', options);
  const port = Number(await sink.ask('port'));
  const service = await startService({
    env: {
      TELLTALE_LOG_LEVEL: 'warn',
      TELLTALE_PUBLIC_URL: 'http://mail.example.test',
      TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
      ...(dovecot !== null && { TELLTALE_MAIL_CA_FILE: dovecot.caFile }),
    },
  });
  const addresses = ['ann@example.test', 'ben@example.test'];
  const grants: string[] = [];
  for (const email of addresses) {
    const settings = { email, smtp_host: '127.0.0.1', smtp_port: port, ...loginOf(email, dovecot) };
    const connected = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings });
    if (connected.status !== 201) throw new Error(connected.text);
    grants.push(String(connected.at('data.id')));
  }
  const arrived = new Map<string, string[]>();
  let copies = new Map<string, string[]>();
  const ground: Ground = {
    service,
    key: await service.apiKey(),
    grants,
    path: (rest) => `${service.url}/v3/grants/${rest}`,
    async copied(subjects) {
      if (dovecot === null) return;
      const folders = addresses.slice(0, subjects.length).map((address) => join(dovecot.maildir(address), '.Sent'));
      copies = await keptIn(folders, subjects, PATIENCE_MS);
    },
    async places() {
      const mails: readonly Arrived[] = Object(await sink.ask('arrived'));
      for (const { subject, files } of mails) {
        if (arrived.has(subject)) throw new Error(`${subject} came twice`);
        arrived.set(
          subject,
          files.map(({ hash }) => hash),
        );
      }
      return new Map([['the recipient', arrived], ...(dovecot === null ? [] : [['Sent', copies] as const])]);
    },
    async close() {
      console.log(`  left in the store: ${await blobsLeft(service)}`);
      await service.stop();
      sink.end();
      await dovecot?.close();
    },
  };
  await warmUp(ground);
  await sink.ask('arrived');
  return ground;
}

function loginOf(email: string, dovecot: DovecotForMany | null): object {
  if (dovecot === null) return { smtp_username: email, smtp_password: 'x' };
  const imap = { imap_host: '127.0.0.1', imap_port: dovecot.port, imap_security: 'tls' };
  return { ...imap, smtp_security: 'tls', imap_username: email, imap_password: dovecot.password };
}

async function practiceGround(): Promise<Ground> {
  const service = await startService({ env: { TELLTALE_LOG_LEVEL: 'warn' } });
  const made = await service.api('POST', '/practice/grants', { email: 'ben@example.com', name: 'Ben' });
  if (made.status !== 201) throw new Error(made.text);
  const ground: Ground = {
    service,
    key: await service.apiKey(),
    grants: [service.grantId(), String(made.at('data.id'))],
    path: (rest) => `${service.url}/v3/grants/${rest}`,
    copied: async () => {},
    async places(subjects) {
      const list = await service.api('GET', '/practice/messages');
      const mails = new Map<string, string[]>();
      const rows = list.at('data');
      for (const row of Array.isArray(rows) ? rows : []) {
        if (!subjects.includes(row.subject)) continue;
        const raw = await fetch(`${service.url}/practice/messages/${row.id}/raw`, {
          headers: { authorization: `Bearer ${ground.key}` },
        });
        const found = filesIn(Buffer.from(await raw.arrayBuffer()));
        mails.set(
          row.subject,
          found.map(({ hash }) => hash),
        );
      }
      return new Map([['the practice mailbox', mails]]);
    },
    async close() {
      console.log(`  left in the store: ${await blobsLeft(service)}`);
      await service.stop();
    },
  };
  await warmUp(ground);
  return ground;
}

/** Small mails, so that code is compiled and connections are there. */
async function warmUp(ground: Ground): Promise<void> {
  for (let sent = 0; sent < WARM_UP; sent++) {
    for (const grant of ground.grants) {
      const answer = await ground.service.api('POST', `/v3/grants/${grant}/messages/send`, mailOf(`Warm-up ${sent}`));
      if (answer.status !== 200) throw new Error(answer.text);
    }
  }
}

async function blobsLeft(service: Service): Promise<string> {
  const connection = await connectEmbedded(service.dataDir);
  if (!connection) return 'unknown';
  const sql = connect(connection, { max: 1, applicationName: 'bench' });
  try {
    const [row] = await sql<{ blobs: number; bytes: number }[]>`
      select (select count(*) from blobs)::integer as blobs,
        (select coalesce(sum(length(bytes)), 0) from blob_chunks)::integer as bytes`;
    return `${row?.blobs} blobs, ${row?.bytes} bytes`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
