// The examples of the two pages the product is built from, run as printed: only host, key, grant, the placeholders in
// angle brackets and the webhook's address are replaced.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { at, eventually, type Service, startService } from '../support/service.ts';

const EXAMPLES = fileURLToPath(new URL('../../../test/compat/examples/', import.meta.url));
const run = promisify(execFile);
const curl = hasCurl() ? {} : { skip: 'curl is not on this machine' };

describe('the examples of the pages', () => {
  let service: Service;
  let receiver: Receiver;
  let folder: string;
  let sentId: string;

  before(async () => {
    service = await startService();
    receiver = await startReceiver();
    // Inside the package, so that `nylas` resolves as it does for its users.
    folder = mkdtempSync(fileURLToPath(new URL('../../examples-', import.meta.url)));
    const first = await service.api('POST', `/v3/grants/${service.grantId()}/messages/send`, {
      to: [{ email: 'kim@example.com' }],
      subject: 'First',
      body: 'to be answered',
    });
    assert.equal(first.status, 200, first.text);
    sentId = String(first.at('data.id'));
  });
  after(async () => {
    await receiver.close();
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const filled = async (name: string): Promise<string> => {
    const text = readFileSync(join(EXAMPLES, name), 'utf8');
    const replaced = text
      .replaceAll('https://api.us.nylas.com', service.url)
      .replaceAll('<NYLAS_API_KEY>', await service.apiKey())
      .replaceAll('<NYLAS_API_URI>', service.url)
      .replaceAll('<NYLAS_GRANT_ID>', service.grantId())
      .replaceAll('<EMAIL>', 'kim@example.com')
      .replaceAll('<MESSAGE_ID>', sentId)
      .replaceAll('https://yourapp.com/webhooks/nylas', receiver.url);
    assert.doesNotMatch(replaced, /<[A-Z_]+>/);
    return replaced;
  };
  const shell = async (name: string): Promise<unknown> => {
    const { stdout } = await run('sh', ['-c', await filled(name)]);
    return JSON.parse(stdout);
  };
  const node = async (name: string, wrap: (text: string) => string = (text) => text): Promise<string> => {
    const file = join(folder, name);
    writeFileSync(file, wrap(await filled(name)));
    const { stdout, stderr } = await run(process.execPath, [file]);
    assert.equal(stderr, '');
    return stdout;
  };
  const rawOfNewest = async (): Promise<string> => {
    const list = await service.api('GET', '/practice/messages');
    const raw = await service.api('GET', `/practice/messages/${list.at('data.0.id')}/raw`);
    assert.equal(raw.status, 200);
    return raw.text.replaceAll('=\r\n', '').replaceAll('=3D', '=');
  };

  it('webhook.sh subscribes, with the challenge answered by a receiver like the page', curl, async () => {
    const answer = await shell('webhook.sh');
    assert.equal(at(answer, 'data.description'), 'Email engagement tracking');
    assert.match(String(at(answer, 'data.webhook_secret')), /^whsec_/);
    assert.deepEqual(at(answer, 'data.trigger_types'), ['message.opened', 'message.link_clicked', 'thread.replied']);
    const challenges = receiver.received.filter(({ method, query }) => method === 'GET' && query.has('challenge'));
    assert.equal(challenges.length, 1);
  });

  it('send-tracking.sh sends with a link and a pixel, and both are told', curl, async () => {
    const answer = await shell('send-tracking.sh');
    const messageId = at(answer, 'data.id');
    assert.equal(at(answer, 'data.tracking_options.label'), 'trial-followup-q2');
    const raw = await rawOfNewest();
    const link = /href="(http[^"]+\/c\/[^"]+)"/.exec(raw)?.[1] ?? '';
    const pixel = /src="(http[^"]+\/o\/[^"]+)"/.exec(raw)?.[1] ?? '';
    const opened = await fetch(pixel, { headers: { 'user-agent': 'a reader' } });
    assert.equal(opened.headers.get('content-type'), 'image/gif');
    const clicked = await fetch(link, { redirect: 'manual', headers: { 'user-agent': 'a reader' } });
    assert.equal(clicked.headers.get('location'), 'https://example.com/demo');
    for (const type of ['message.opened', 'message.link_clicked']) {
      const told = await eventually(type, () =>
        receiver.deliveries
          .map(({ body }): unknown => JSON.parse(body.toString('utf8')))
          .find((event) => at(event, 'type') === type && at(event, 'data.object.message_id') === messageId),
      );
      assert.equal(at(told, 'data.object.label'), 'trial-followup-q2');
      assert.equal(at(told, 'data.object.recents.0.user_agent'), 'a reader');
    }
  });

  it(
    'message-open.sh, whose quotes leave an unquoted href, sends with a pixel and the link as written',
    curl,
    async () => {
      const answer = await shell('message-open.sh');
      assert.equal(at(answer, 'data.tracking_options.opens'), true);
      const raw = await rawOfNewest();
      assert.match(raw, /<a href=https:\/\/espn\.com>My Example Link<\/a>/);
      assert.match(raw, /src="http[^"]+\/o\//);
    },
  );

  it('thread-replied.sh is accepted and kept', curl, async () => {
    const answer = await shell('thread-replied.sh');
    assert.equal(at(answer, 'data.tracking_options.thread_replies'), true);
    assert.doesNotMatch(await rawOfNewest(), /\/o\/|\/c\//);
  });

  for (const name of ['message-open.mjs', 'thread-replied.mjs']) {
    it(`${name} runs with the official SDK and answers the message named`, async () => {
      const printed = await node(name);
      assert.match(printed, /Email sent: /);
      assert.match(printed, /msg_[0-9a-z]{26}/);
      const raw = await rawOfNewest();
      assert.match(raw, /^In-Reply-To: <.+>/m);
      assert.match(raw, /^Reply-To: Name <kim@example\.com>/m);
    });
  }

  it('send-tracking.cjs runs with the official SDK', async () => {
    // CommonJS has no top-level await, and this page names no address: both are supplied around the snippet.
    const printed = await node(
      'send-tracking.cjs',
      (text) =>
        `(async () => {\n${text.replace('apiKey: ', `apiUri: ${JSON.stringify(service.url)}, apiKey: `)}\n})();`,
    );
    assert.match(printed, /^Sent message msg_[0-9a-z]{26}\n$/);
  });
});

function hasCurl(): boolean {
  try {
    execFileSync('curl', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
