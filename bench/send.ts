// Tracked mail through the whole service into a local SMTP server, against nodemailer alone sending the same MIME.
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import nodemailer from 'nodemailer';
import { Agent } from 'undici';
import { type Service, startService } from '../test/support/service.ts';

const IN_FLIGHT = 32;
/** As many as the service opens to one mailbox. */
const CONNECTIONS = 3;
const ROUNDS = 5;
const MAILS = 600;
const MEMORY_MAILS = 10_000;

const sink = fork(fileURLToPath(new URL('load/smtp-sink.js', import.meta.url)));
const said = await saying(sink, 'port');
const port = Number(said);
const service = await startService({
  env: {
    TELLTALE_LOG_LEVEL: 'error',
    TELLTALE_PUBLIC_URL: 'http://mail.example.test',
    TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.1',
    TELLTALE_GRANT_REQUESTS_PER_SECOND: '0', // one grant sends it all
    TELLTALE_APPLICATION_REQUESTS_PER_SECOND: '0',
  },
});
const agent = new Agent({ connections: IN_FLIGHT, pipelining: 1 });
const key = await service.apiKey();
const settings = {
  email: 'bench@example.test',
  smtp_username: 'bench',
  smtp_password: 'x',
  smtp_host: '127.0.0.1',
  smtp_port: port,
};
const connected = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings });
if (connected.status !== 201) throw new Error(connected.text);
const grant = String(connected.at('data.id'));
const body = JSON.stringify({
  to: [{ email: 'kim@example.test' }],
  subject: 'Renewal',
  body: `<html><body>${'<p>Some words that a person would write in a mail to another, and then some more.</p>'.repeat(20)}
<p><a href="https://example.com/offer?id=1">The offer</a> <a href="https://example.com/terms">Terms</a></p></body></html>`,
  tracking_options: { opens: true, links: true, thread_replies: false, label: 'bench' },
});

const firstMail = saying(sink, 'mail');
await sendOne();
const raw = Buffer.from(String(await firstMail), 'base64');
const alone = nodemailer.createTransport({
  host: '127.0.0.1',
  port,
  pool: true,
  maxConnections: CONNECTIONS,
  auth: { user: 'bench', pass: 'x' },
});
const envelope = { from: 'bench@example.test', to: ['kim@example.test'] };
const sendAlone = async (): Promise<void> => void (await alone.sendMail({ envelope, raw }));

await many(sendOne, MAILS);
await many(sendAlone, MAILS);
const ratios: number[] = [];
const ours: number[] = [];
const theirs: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const bare = await many(sendAlone, MAILS);
  const whole = await many(sendOne, MAILS);
  console.log(`  nodemailer ${bare.toFixed(0)}/s, messages/send ${whole.toFixed(0)}/s`);
  theirs.push(bare);
  ours.push(whole);
  ratios.push(whole / bare);
}
const memory = [residentMb(service)];
for (let part = 0; part < 4; part++) {
  await many(sendOne, MEMORY_MAILS / 4);
  memory.push(residentMb(service));
}
console.log(`  resident memory over ${MEMORY_MAILS} mails: ${memory.join(', ')} MB`);
console.log(`FIGURE nodemailer_alone_per_second ${median(theirs).toFixed(0)}`);
console.log(`FIGURE messages_send_per_second ${median(ours).toFixed(0)}`);
console.log(`FIGURE messages_send_ratio ${median(ratios).toFixed(2)}`);
console.log(`FIGURE memory_before_10000_sends_mb ${memory[0]}`);
console.log(`FIGURE memory_after_10000_sends_mb ${memory.at(-1)}`);
alone.close();
await service.stop();
sink.disconnect();
process.exit();

async function sendOne(): Promise<void> {
  const response = await agent.request({
    origin: service.url,
    path: `/v3/grants/${grant}/messages/send`,
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body,
  });
  const text = await response.body.text();
  if (response.statusCode !== 200) throw new Error(text);
}

/** Mails a second. */
async function many(send: () => Promise<void>, count: number): Promise<number> {
  let left = count;
  const began = performance.now();
  const one = async (): Promise<void> => {
    while (left-- > 0) await send();
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, one));
  return count / ((performance.now() - began) / 1000);
}

function saying(child: ChildProcess, name: string): Promise<unknown> {
  return new Promise((resolve) => {
    const hear = (message: unknown): void => {
      const value: unknown = Reflect.get(Object(message), name);
      if (value === undefined) return;
      child.off('message', hear);
      resolve(value);
    };
    child.on('message', hear);
  });
}

function residentMb({ child }: Service): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
