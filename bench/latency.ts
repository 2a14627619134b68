// From a click to the webhook's arrival, the whole service in one process, at a fixed 50 hits a second (open loop).
import { createServer } from 'node:http';
import { eventually, startService } from '../test/support/service.ts';
import { sendTracked, type TrackedMessage } from '../test/support/tracked-message.ts';

const RATE = 50;
const SECONDS = 20;
const WARM_UP = 100;

const arrived = new Map<string, number>();
const receiver = createServer((request, response) => {
  const now = performance.now();
  const challenge = new URL(request.url ?? '/', 'http://x').searchParams.get('challenge');
  if (challenge !== null) return void response.end(challenge);
  let body = '';
  request.setEncoding('utf8').on('data', (text: string) => {
    body += text;
  });
  request.on('end', () => {
    response.end();
    const newest = /"user_agent":"(\w+-\d+)"\}?[^{]*$/.exec(body)?.[1] ?? body.match(/reader-\d+/g)?.at(-1);
    if (newest !== undefined && !arrived.has(newest)) arrived.set(newest, now);
  });
});
await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
const address = receiver.address();
const port = typeof address === 'object' && address ? address.port : 0;

const service = await startService({ env: { TELLTALE_LOG_LEVEL: 'warn' } });
await service.api('POST', '/v3/webhooks', {
  trigger_types: ['message.link_clicked'],
  webhook_url: `http://127.0.0.1:${port}/`,
});
// Forty messages, so that no one message passes the flood guard and its recents stay of a usual length.
const messages: TrackedMessage[] = [];
for (let i = 0; i < 40; i++) messages.push(await sendTracked(service));

const clicked = new Map<string, number>();
const total = WARM_UP + RATE * SECONDS;
const began = performance.now();
await new Promise<void>((done) => {
  let number = 0;
  const timer = setInterval(() => {
    while (number < total && performance.now() - began >= (number * 1000) / RATE) {
      const userAgent = `reader-${number}`;
      const message = messages[number % messages.length];
      clicked.set(userAgent, performance.now());
      number++;
      void fetch(service.url + (message?.link ?? ''), { redirect: 'manual', headers: { 'user-agent': userAgent } });
    }
    if (number >= total) {
      clearInterval(timer);
      done();
    }
  }, 2);
});
await eventually('all webhooks arrive', () => (arrived.size >= total ? true : undefined), 30_000).catch(
  (error: Error) => console.log(error.message, `${arrived.size} of ${total}`),
);
const delays = [...clicked]
  .slice(WARM_UP)
  .map(([userAgent, at]) => (arrived.get(userAgent) ?? Number.POSITIVE_INFINITY) - at)
  .sort((a, b) => a - b);
const percentile = (share: number): string => (delays[Math.floor(delays.length * share)] ?? Number.NaN).toFixed(1);
console.log(`FIGURE click_to_webhook_p50_ms ${percentile(0.5)}`);
console.log(`FIGURE click_to_webhook_p95_ms ${percentile(0.95)}`);
console.log(`FIGURE click_to_webhook_p99_ms ${percentile(0.99)}`);
await service.stop();
receiver.close();
process.exit();
