// The document and the page of the running service, and every route of it walked by what the document says.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type Browser, chromium } from 'playwright-core';
import { type Answered, type AnswerRules, makeAnswerRules, said } from '../support/answer-rules.ts';
import { type Document, type Found, operationsOf } from '../support/openapi-document.ts';
import { type Service, startService } from '../support/service.ts';
import { startWholeApi } from '../support/whole-api.ts';

const CHROMIUM = '/usr/bin/chromium';
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

let service: Service;
let document: Document;
let rules: AnswerRules;
/** What was answered from the first moment on. */
let early: readonly Answered[];

before(async () => {
  service = await startService({ wait: false });
  early = await askedUntilUp();
  await service.ready();
  document = JSON.parse(await (await fetch(`${service.url}/openapi.json`)).text());
  rules = makeAnswerRules(document);
});
after(async () => {
  await service.stop();
});

async function ask(method: string, path: string, body?: string, key = true): Promise<Answered> {
  const response = await fetch(service.url + path, {
    method,
    headers: {
      ...(key && { authorization: `Bearer ${await service.apiKey()}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body }),
  });
  const text = await response.text();
  return { method, path, status: response.status, header: (name) => response.headers.get(name), text };
}

/** Nobody listens in the first moments. */
async function askedUntilUp(): Promise<readonly Answered[]> {
  const answers: Answered[] = [];
  for (;;) {
    const answered = await ask('GET', '/v3/grants', undefined, false).catch(() => null);
    if (answered !== null) answers.push(answered);
    if (answered !== null && answered.status !== 503) return answers;
    assert.equal(service.child.exitCode, null, service.errors());
    await new Promise((resolve) => setImmediate(resolve));
  }
}

type Named = ReturnType<typeof operationsOf>[number];

/** What there is to name in a path. */
async function things(): Promise<(name: string, route: Pick<Named, 'method' | 'path'>) => string> {
  const grant = service.grantId();
  const made = async (path: string, body: object): Promise<string> => {
    const answered = await ask('POST', path, JSON.stringify(body));
    assert.ok(answered.status < 300, answered.text);
    return JSON.parse(answered.text).data.id;
  };
  const mail = { to: [{ email: 'kim@example.com' }], subject: 'Hello', body: 'Hello' };
  const message = await ask('POST', `/v3/grants/${grant}/messages/send`, JSON.stringify(mail));
  const { id, thread_id: thread } = JSON.parse(message.text).data;
  const [draft, toSend] = [
    await made(`/v3/grants/${grant}/drafts`, mail),
    await made(`/v3/grants/${grant}/drafts`, mail),
  ];
  const uri = await made('/v3/applications/redirect-uris', { url: 'https://app.example.com/first' });
  const sendAt = Math.floor(Date.now() / 1000) + 3600;
  const scheduled = await ask(
    'POST',
    `/v3/grants/${grant}/messages/send`,
    JSON.stringify({ ...mail, send_at: sendAt }),
  );
  const { schedule_id: schedule } = JSON.parse(scheduled.text).data;
  const names: Readonly<Record<string, string>> = {
    identifier: grant,
    message_id: id,
    thread_id: thread,
    draft_id: draft,
    schedule_id: schedule,
    notification_id: 'ntf_unknown',
  };
  return (name, { method, path }) => {
    if (name === 'draft_id' && method === 'POST') return toSend;
    return names[name] ?? (path.includes('redirect-uris') ? uri : 'unknown');
  };
}

describe('the running service', () => {
  it('answers by the rules before it is up, too', () => {
    assert.ok(early.some(({ status }) => status === 503));
    const wrong = early.flatMap((answered) => {
      const problems = [...makeAnswerRules(null)(answered)];
      if (answered.status === 503 && answered.header('retry-after') === null) problems.push('it has no Retry-After');
      return problems.length > 0 ? [said(answered, problems)] : [];
    });
    assert.deepEqual(wrong, []);
  });

  it('has the routes that the tests of the API have', async () => {
    const whole = await startWholeApi();
    const expected: Document = JSON.parse(await (await fetch(`${whole.url}/openapi.json`)).text());
    await whole.close();
    assert.deepEqual(Object.keys(document.paths).sort(), Object.keys(expected.paths).sort());
    assert.deepEqual({ ...document, servers: [] }, { ...expected, servers: [] });
  });

  it('answers on every route of the document as it says: to what is good, to nothing, to nonsense', async () => {
    const named = await things();
    const wrong: string[] = [];
    const seen = new Map<string, Set<number>>();
    const judge = (told: Found, answered: Answered): void => {
      const problems = [...rules(answered)];
      if (answered.status >= 500) problems.push('it is no answer');
      if (problems.length > 0) wrong.push(said(answered, problems));
      const statuses = seen.get(told.operation.operationId) ?? new Set();
      seen.set(told.operation.operationId, statuses.add(answered.status));
    };
    // What takes away what others need comes last.
    const order = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];
    const inOrder = [...operationsOf(document)].sort(
      (a, b) => order.indexOf(a.method) - order.indexOf(b.method) || b.path.length - a.path.length,
    );
    for (const told of inOrder) {
      const { method, path, operation } = told;
      const good = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(named(name, told)));
      const bad = path.replace(/\{\w+\}/g, 'unknown');
      const example: unknown = Reflect.get(Object(operation.requestBody?.content['application/json']), 'example');
      const nonsense = (operation.parameters ?? [])
        .filter((each) => each.in === 'query')
        .map(({ name }) => `${name}=%F0%9F%92%8C`);
      judge(told, await ask(method, `${good}?${nonsense.join('&')}`, method === 'GET' ? undefined : '{"to":7}'));
      judge(told, await ask(method, bad, method === 'GET' ? undefined : '{}'));
      judge(told, await ask(method, good, undefined, false));
      judge(told, await ask(method, good, example === undefined ? undefined : JSON.stringify(example)));
    }
    assert.deepEqual(wrong, []);
    // Webhooks and channels need somebody out there who answers; those are walked in test/compat.
    const without = [...seen].filter(
      ([id, statuses]) =>
        !/Webhook|PubSub|Notification|TestEvent|connect/.test(id) && ![...statuses].some((s) => s < 300),
    );
    assert.deepEqual(
      without.map(([id]) => id),
      [],
      'never a success',
    );
  });

  it('serves the page under its own name only, without anything of others', async () => {
    const page = await fetch(`${service.url}/docs`);
    assert.equal(page.status, 200);
    assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.match(
      page.headers.get('content-security-policy') ?? '',
      /^default-src 'none'; style-src 'self'; .*frame-ancestors 'none'$/,
    );
    const html = await page.text();
    assert.doesNotMatch(html, /<script|<style|\son\w+=|\sstyle=|src=/);
    const { hostname, port } = new URL(service.url);
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      request({ hostname, port, path: '/docs', headers: { host: 'evil.example' } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .once('error', reject)
        .end();
    });
    assert.equal(status, 403);
  });
});

describe('the page', existsSync(CHROMIUM) ? {} : { skip: `${CHROMIUM} is not on this machine` }, () => {
  let browser: Browser;

  before(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
  });
  after(async () => {
    await browser?.close();
  });

  it('shows every route and object, and every link in it leads somewhere', async () => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('requestfailed', (request) => complaints.push(request.url()));
    await page.goto(`${service.url}/docs`);
    for (const { operation } of operationsOf(document)) {
      assert.equal(await page.locator(`article#${operation.operationId}`).count(), 1, operation.operationId);
    }
    const hrefs = await page
      .locator('a[href^="#"]')
      .evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    const ids = await page.locator('[id]').evaluateAll((all) => all.map(({ id }) => id));
    assert.deepEqual([...new Set(ids)], ids);
    assert.deepEqual(
      hrefs.filter((href) => !ids.includes(href?.slice(1) ?? '')),
      [],
    );
    await page.locator('nav.side a', { hasText: 'Send a message' }).click();
    assert.equal(new URL(page.url()).hash, '#sendMessage');
    assert.match(
      await page.locator('#sendMessage pre').innerText(),
      /^curl -X POST ".*\/v3\/grants\/<identifier>\/messages\/send"/,
    );
    assert.deepEqual(complaints, []);
    await page.close();
  });

  for (const [name, width] of [
    ['a desktop', 1300],
    ['a phone', 360],
  ] as const) {
    it(`fits on ${name}, by day and by night`, async () => {
      const grounds: unknown[] = [];
      for (const colorScheme of ['light', 'dark'] as const) {
        const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
        await page.goto(`${service.url}/docs`);
        assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width);
        grounds.push(await page.evaluate('getComputedStyle(document.body).backgroundColor'));
        await page.close();
      }
      assert.notEqual(grounds[0], grounds[1]);
    });
  }
});
