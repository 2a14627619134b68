// An installation with a public address: practice is off unless asked for, loopback is out of reach, tracking has its own host.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { startReceiver } from '../support/receiver.ts';
import { type Service, startService } from '../support/service.ts';
import { sendTracked } from '../support/tracked-message.ts';

describe('a public installation', () => {
  let service: Service;

  before(async () => {
    service = await startService({
      env: {
        TELLTALE_PUBLIC_URL: 'https://mail.example.com',
        TELLTALE_TRACKING_URL: 'https://t.example.com',
        TELLTALE_API_KEY: 'the-key-of-this-test',
        TELLTALE_TRUSTED_PROXIES: '127.0.0.1',
      },
    });
  });
  after(() => service.stop());

  it('prints no key, and has no practice mailbox', async () => {
    assert.ok(!service.output().includes('the-key-of-this-test'));
    assert.doesNotMatch(service.output(), /token=/);
    assert.match(service.output(), /npm run telltale -- sign-in/);
    assert.equal((await service.api('GET', '/practice/messages')).status, 404);
    const grants = await service.api('GET', '/v3/grants');
    const sent = await service.api('POST', `/v3/grants/${grants.at('data.0.id')}/messages/send`, {
      to: [{ email: 'kim@example.com' }],
      body: 'x',
    });
    assert.equal(sent.status, 422, sent.text);
    assert.match(sent.text, /the practice mailbox is switched off \(TELLTALE_PRACTICE\)/);
  });

  it('does not let a webhook point to this machine', async () => {
    const receiver = await startReceiver();
    const made = await service.api('POST', '/v3/webhooks', {
      trigger_types: ['message.opened'],
      webhook_url: receiver.url,
    });
    assert.equal(made.status, 400, made.text);
    assert.equal(receiver.received.length, 0);
    await receiver.close();
  });

  it('serves links and pixels on the tracking host, and nothing else there', async () => {
    const status = (host: string, path: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const outgoing = request({ host: '127.0.0.1', port: service.port, path, headers: { host } }, (response) => {
          response.resume();
          resolve(response.statusCode);
        });
        outgoing.once('error', reject).end();
      });
    assert.equal(await status('t.example.com', '/health'), 404);
    assert.equal(await status('t.example.com', '/v3/grants'), 404);
    for (const host of ['T.example.com', 't.example.com.', 't.example.com:443']) {
      assert.equal(await status(host, '/health'), 404, host);
    }
    assert.equal(await status('t.example.com', '/o/anything.gif'), 200);
    assert.equal(await status('t.example.com', '/c/anything'), 404);
    assert.equal(await status('mail.example.com', '/health'), 200);
  });
});

it('TELLTALE_PRACTICE=on brings the practice mailbox to a public installation, with the tracking host in its mail', async () => {
  const service = await startService({
    env: {
      TELLTALE_PUBLIC_URL: 'https://mail.example.com',
      TELLTALE_TRACKING_URL: 'https://t.example.com',
      TELLTALE_PRACTICE: 'on',
    },
  });
  try {
    await sendTracked(service);
    const list = await service.api('GET', '/practice/messages');
    const raw = await service.api('GET', `/practice/messages/${list.at('data.0.id')}/raw`);
    assert.match(raw.text.replaceAll('=\r\n', ''), /https:\/\/t\.example\.com\/o\//);
    assert.ok(!service.output().includes(await service.apiKey()), 'the key is not printed');
  } finally {
    await service.stop();
  }
});
