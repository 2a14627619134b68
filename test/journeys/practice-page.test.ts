// The practice mailbox in a real browser: what a reader does is counted, what a hostile mail tries does nothing.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type Browser, type BrowserContext, chromium, type FrameLocator, type Page } from 'playwright-core';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { at, type Service, startService } from '../support/service.ts';

const CHROMIUM = '/usr/bin/chromium';
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const RED = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
/** For what must not happen: there is no event to wait for. */
const NOTHING_HAPPENS_MS = 700;

describe('the practice page', existsSync(CHROMIUM) ? {} : { skip: `${CHROMIUM} is not on this machine` }, () => {
  let service: Service;
  let webhook: Receiver;
  /** Stands for the rest of the world: link destinations and what hostile mail wants to reach. */
  let world: Receiver;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;

  before(async () => {
    [service, webhook, world] = await Promise.all([startService(), startReceiver(), startReceiver()]);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
    context = await browser.newContext();
    page = await context.newPage();
    const settings = { tracking_settings: { link_schemes: ['https', 'http', 'mailto', 'tel'] } };
    assert.equal((await service.api('PATCH', '/v3/applications', settings)).status, 200);
    const triggers = ['message.opened', 'message.link_clicked'];
    const hook = await service.api('POST', '/v3/webhooks', { webhook_url: webhook.url, trigger_types: triggers });
    assert.equal(hook.status, 200, hook.text);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([world.close(), webhook.close()]);
    await service.stop();
  });

  const send = async (subject: string, body: string, extra: object = {}): Promise<string> => {
    const sent = await service.api('POST', `/v3/grants/${service.grantId()}/messages/send`, {
      to: [{ name: 'Kim', email: 'kim@example.com' }],
      subject,
      body,
      ...extra,
    });
    assert.equal(sent.status, 200, sent.text);
    return String(sent.at('data.id'));
  };
  const openMail = async (subject: string): Promise<FrameLocator> => {
    await page.locator('#messages a', { hasText: subject }).first().click();
    await page.locator('#subject', { hasText: subject }).waitFor();
    return page.frameLocator('#pane iframe');
  };
  const told = async (count: number): Promise<unknown[]> =>
    (await webhook.arrived(count)).map(({ body }): unknown => JSON.parse(body.toString()));

  it('asks for a sign-in, which the printed address gives once', async () => {
    const stranger = await page.goto(`${service.url}/practice`);
    assert.equal(stranger?.status(), 401);
    const address = /http:\/\/\S+\/sign-in\?token=\S+/.exec(service.output())?.[0] ?? '';
    await page.goto(address);
    assert.equal(new URL(page.url()).pathname, '/practice');
    await page.locator('#empty').waitFor();
  });

  it('shows a new message by itself; reading it is an open, its link leads to the destination and is a click', async () => {
    const id = await send('Tracked', `<p>Please <a href="${world.origin}/landed?a=1&amp;b=2">look</a></p>`, {
      tracking_options: { opens: true, links: true, label: 'browser' },
    });
    const frame = await openMail('Tracked');
    const [opened] = await told(1);
    assert.equal(at(opened, 'type'), 'message.opened');
    assert.equal(at(opened, 'data.object.message_id'), id);
    assert.match(String(at(opened, 'data.object.recents.0.user_agent')), /Chrome/);

    const [tab] = await Promise.all([context.waitForEvent('page'), frame.locator('a', { hasText: 'look' }).click()]);
    await tab.waitForURL(`${world.origin}/landed?a=1&b=2`);
    const [, clicked] = await told(2);
    assert.equal(at(clicked, 'type'), 'message.link_clicked');
    assert.equal(at(clicked, 'data.object.link_data.0.url'), `${world.origin}/landed?a=1&b=2`);
    const landed = world.received.find(({ path }) => path === '/landed');
    assert.equal(landed?.headers.referer, undefined);
    assert.equal(landed?.headers.cookie, undefined);
    await tab.close();
  });

  it('lets hostile mail do nothing', async () => {
    const there = (name: string): string => `${world.origin}/hostile/${name}`;
    const script = `fetch('${there('script')}');top.location='${there('top')}'`;
    await send(
      'Hostile',
      `<base href="${there('base/')}" target="_top"><meta http-equiv="refresh" content="0;url=${there('refresh')}">
       <link rel="stylesheet" href="${there('style')}"><style>@import "${there('import')}";</style>
       <script>${script}</script><img src="x:" onerror="${script}"><svg onload="${script}"></svg>
       <iframe src="${there('frame')}"></iframe><object data="${there('object')}"></object><embed src="${there('embed')}">
       <video src="${there('video')}" autoplay></video><body onload="${script}">
       <form id="f" action="${there('form')}" method="post"><button>Submit</button></form>
       <a id="top" target="_top" href="${there('navigation')}">Top</a> <a id="js" href="javascript:${script}">Script</a>
       <p>End of the mail</p><img src="${there('picture.png')}">`,
    );
    const before = page.url();
    const frame = await openMail('Hostile');
    await frame.locator('p', { hasText: 'End of the mail' }).waitFor();
    const opened: Page[] = [];
    context.on('page', (tab) => opened.push(tab));
    await frame.locator('button', { hasText: 'Submit' }).click();
    await frame.locator('#js').click();
    await frame.locator('#top').click({ noWaitAfter: true });
    await page.waitForTimeout(NOTHING_HAPPENS_MS);
    const reached = world.received.map(({ path }) => path).filter((path) => path.startsWith('/hostile/'));
    assert.deepEqual(reached, ['/hostile/picture.png']);
    assert.equal(new URL(page.url()).origin, new URL(before).origin);
    assert.equal(await page.locator('#subject').textContent(), 'Hostile');
    await Promise.all(opened.map((tab) => tab.close()));
  });

  it('lets it do nothing outside of the frame either', async () => {
    const frame = page.frames().find((candidate) => candidate.url().includes('/view?'));
    const view = frame?.url() ?? '';
    const tab = await context.newPage();
    const answer = await tab.goto(view);
    assert.match(answer?.headers()['content-security-policy'] ?? '', /sandbox allow-popups/);
    await tab.locator('p', { hasText: 'End of the mail' }).waitFor();
    await tab.waitForTimeout(NOTHING_HAPPENS_MS);
    assert.equal(tab.url(), view);
    const reached = new Set(world.received.map(({ path }) => path).filter((path) => path.startsWith('/hostile/')));
    assert.deepEqual([...reached], ['/hostile/picture.png']);
    await tab.close();
  });

  it('shows inline pictures, and loads none from elsewhere when told so', async () => {
    const attachments = [{ filename: 'a.png', content_type: 'image/png', content: RED, content_id: 'red' }];
    await send('Pictures', `<img id="in" src="cid:red"><img id="out" src="${world.origin}/outside.png">`, {
      attachments,
    });
    const frame = await openMail('Pictures');
    await frame.locator('#in').waitFor();
    // Its own size; the sign for a broken picture is larger.
    assert.equal((await frame.locator('#in').boundingBox())?.width, 1);
    assert.match((await page.locator('#attachments').textContent()) ?? '', /a\.png/);
    const fetched = () => world.received.filter(({ path }) => path === '/outside.png').length;
    const once = fetched();
    await page.locator('#images').uncheck();
    await page.frameLocator('#pane iframe[src$="images=false"]').locator('#in').waitFor();
    await page.waitForTimeout(NOTHING_HAPPENS_MS);
    assert.equal(fetched(), once);
    await page.locator('#images').check();
  });

  it('answers as the reader, quoting the mail', async () => {
    await send('Question', '<p>Is <b>this</b> fine?</p>');
    await openMail('Question');
    await page.locator('#answer-text').fill('Yes <script>alert(1)</script>');
    await page.locator('#answer button[type=submit]').click();
    await page.locator('#answered', { hasText: 'Answered.' }).waitFor();
    const frame = await openMail('Re: Question');
    await frame.locator('blockquote b', { hasText: 'this' }).waitFor();
    assert.match((await frame.locator('body').textContent()) ?? '', /Yes <script>alert\(1\)<\/script>/);
    await page.locator('#tab-headers').click();
    assert.match((await page.locator('#pane').textContent()) ?? '', /In-Reply-To/);
    assert.equal(await page.locator('#answer').isVisible(), false);
  });

  it('sends a tracked message of its own', async () => {
    await page.locator('#compose').click();
    await page.locator('#send-subject').fill('From the form');
    await page.locator('#send button[type=submit]').click();
    await page.locator('#subject', { hasText: 'From the form' }).waitFor();
    await page.locator('#tab-reader').click();
    const link = page.frameLocator('#pane iframe').locator('a');
    assert.match((await link.getAttribute('href')) ?? '', /^http:\/\/localhost:\d+\/c\//);
  });
});
