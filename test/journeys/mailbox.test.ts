// A mailbox on Dovecot and Postfix, connected, sent from and read, through the whole service.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import PostalMime from 'postal-mime';
import { ALICE, BOB, CAROL, type MailHost, noDovecot, startMailHost } from '../support/dovecot.ts';
import { imapSettings } from '../support/imap-settings.ts';
import { startMailService } from '../support/mail-service.ts';
import { nylas } from '../support/nylas.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { sdkError } from '../support/sdk-error.ts';
import { type Answer, at, eventually, type Service } from '../support/service.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { trackedPaths } from '../support/tracked-paths.ts';

const TRIGGERS = [
  'grant.created',
  'grant.updated',
  'grant.expired',
  'grant.deleted',
  'message.opened',
  'message.link_clicked',
];
const OFFER = '<p>Dear Bob, <a href="https://example.com/offer?a=1&amp;b=2">look</a>.</p>';
const NOBODY = 'nobody@example.test';

describe('a mailbox on Dovecot and Postfix', { skip: noDovecot() }, () => {
  let host: MailHost;
  let service: Service;
  let webhook: Receiver;
  let tokens: TokenServer;
  let sdk: ReturnType<typeof nylas>;
  let secret: string;
  let alice: string;
  let carol: string;

  before(async () => {
    [webhook, tokens] = await Promise.all([startReceiver(), startTokenServer()]);
    host = await startMailHost({ introspectionUrl: tokens.introspectionUrl });
    service = await startMailService({ TELLTALE_MAIL_CA_FILE: host.caFile });
    sdk = nylas({ apiKey: await service.apiKey(), apiUri: service.url });
    const hook = await service.api('POST', '/v3/webhooks', { webhook_url: webhook.url, trigger_types: TRIGGERS });
    assert.equal(hook.status, 200, hook.text);
    secret = String(hook.at('data.webhook_secret'));
  });
  after(async () => {
    await service?.stop();
    await Promise.all([host?.close(), webhook.close(), tokens.close()]);
  });

  const connect = (settings: object): Promise<Answer> =>
    service.api('POST', '/v3/connect/custom', { provider: 'imap', settings });
  const send = (grant: string, to: readonly string[], extra: object = {}): Promise<Answer> =>
    service.api('POST', `/v3/grants/${grant}/messages/send`, {
      to: to.map((email) => ({ email })),
      subject: 'Hello',
      body: '<p>Hello</p>',
      ...extra,
    });
  const notes = (type: string, grant: string): Received[] =>
    webhook.deliveries.filter(
      (delivery) => of(delivery, 'type') === type && of(delivery, 'data.object.grant_id') === grant,
    );
  const told = (type: string, grant: string): Promise<Received> =>
    eventually(`${type} arrives`, () => notes(type, grant).at(-1));
  /** So that the servers see the next connections sign in anew. */
  const cutConnections = async (): Promise<void> => {
    await Promise.all([host.imap.stop(), host.smtp.stop()]);
    await Promise.all([host.imap.start(), host.smtp.start()]);
  };

  it('refuses a wrong password by its field, and stores nothing', async () => {
    const before = await service.api('GET', '/v3/grants');
    const settings = imapSettings(host, ALICE);
    const refused = await connect({ ...settings, imap_password: 'mistyped' });
    assert.equal(refused.status, 400, refused.text);
    assert.match(String(refused.at('error.message')), /settings\.imap_password/);
    assert.doesNotMatch(refused.text, /mistyped/);

    const other = await connect({ ...settings, smtp_password: 'mistyped' });
    assert.equal(other.status, 400, other.text);
    assert.match(String(other.at('error.message')), /^settings\.smtp_password/);
    assert.doesNotMatch(String(other.at('error.message')), /imap_password/);

    const closed = await connect({ ...settings, smtp_port: 1 });
    assert.equal(closed.status, 400, closed.text);
    assert.match(String(closed.at('error.message')), /settings\.smtp_host/);
    assert.deepEqual((await service.api('GET', '/v3/grants')).at('data'), before.at('data'));
  });

  it('connects by Nylas’s own SDK, and says so', async () => {
    const connected = await sdk.auth.customAuthentication({
      requestBody: { provider: 'imap', settings: imapSettings(host, ALICE) },
    });
    alice = connected.data.id;
    assert.equal(connected.data.email, ALICE);
    assert.equal(connected.data.provider, 'imap');
    assert.equal(connected.data.grantStatus, 'valid');
    assert.doesNotMatch(JSON.stringify(connected), /alice-secret/);
    assert.equal(of(await told('grant.created', alice), 'data.object.email'), ALICE);
  });

  it('sends a tracked mail that is delivered, opened and clicked', async () => {
    const sent = await sdk.messages.send({
      identifier: alice,
      requestBody: {
        to: [{ name: 'Bob', email: BOB }],
        bcc: [{ email: 'hidden@example.com' }],
        subject: 'Zażółć',
        body: OFFER,
        trackingOptions: { opens: true, links: true, threadReplies: false, label: 'journey' },
      },
    });
    const [raw] = await host.mails(BOB);
    assert.ok(raw);
    assert.doesNotMatch(raw.toString('latin1'), /hidden@example\.com/);
    const received = await PostalMime.parse(raw);
    assert.equal(received.subject, 'Zażółć');
    assert.deepEqual(received.from, { address: ALICE, name: '' });
    assert.doesNotMatch(received.html ?? '', /example\.com\/offer/);
    const { pixels, links } = trackedPaths(received.html ?? '');
    assert.equal(pixels.length, 1);
    assert.equal(links.length, 1);
    assert.equal((await host.mails('hidden@example.com')).length, 1);

    const pixel = await fetch(service.url + pixels[0]);
    assert.equal(pixel.headers.get('content-type'), 'image/gif');
    await pixel.arrayBuffer();
    const click = await fetch(service.url + links[0], { redirect: 'manual' });
    assert.equal(click.headers.get('location'), 'https://example.com/offer?a=1&b=2');

    const opened = await told('message.opened', alice);
    assert.equal(of(opened, 'data.object.message_id'), sent.data.id);
    assert.equal(of(opened, 'data.object.message_data.count'), 1);
    const clicked = await told('message.link_clicked', alice);
    assert.equal(of(clicked, 'data.object.label'), 'journey');
    assert.deepEqual(of(clicked, 'data.object.link_data'), [{ count: 1, url: 'https://example.com/offer?a=1&b=2' }]);
    for (const { headers, body: signed } of [opened, clicked]) {
      assert.equal(headers['x-nylas-signature'], createHmac('sha256', secret).update(signed).digest('hex'));
    }
  });

  it('sends to those who are there and names who is not; to nobody it does not', async () => {
    const some = await send(alice, [BOB, NOBODY]);
    assert.equal(some.status, 200, some.text);
    assert.match(String(some.at('warnings.0.message')), /nobody@example\.test/);
    assert.equal(some.at('warnings.1'), undefined);
    const none = await send(alice, [NOBODY]);
    assert.equal(none.status, 402, none.text);
    assert.equal(none.at('error.type'), 'api.provider_error');
    assert.match(none.text, /nobody@example\.test/);
  });

  it('sends by TLS from the first byte, and from a mailbox that is full', async () => {
    const connected = await connect(imapSettings(host, CAROL, 'tls'));
    assert.equal(connected.status, 201, connected.text);
    carol = String(connected.at('data.id'));
    const before = (await host.mails(BOB)).length;
    const sent = await send(carol, [BOB]);
    assert.equal(sent.status, 200, sent.text);
    const other = await send(alice, [BOB]);
    assert.equal(other.status, 200, other.text);
    assert.equal((await host.mails(BOB)).length, before + 2);
  });

  it('signs in by XOAUTH2, with a new token when the old one is refused', async () => {
    const { imap_password: _, ...servers } = imapSettings(host, 'kim@example.com', 'tls');
    const oauth = { token_url: tokens.tokenUrl, client_id: 'telltale', client_secret: 'kept' };
    const wrong = await connect({ ...servers, oauth: { ...oauth, refresh_token: 'never-given' } });
    assert.equal(wrong.status, 400, wrong.text);
    assert.match(String(wrong.at('error.message')), /settings\.oauth/);

    const connected = await connect({
      ...servers,
      oauth: { ...oauth, refresh_token: tokens.grant('kim@example.com') },
    });
    assert.equal(connected.status, 201, connected.text);
    const kim = String(connected.at('data.id'));
    assert.equal((await send(kim, [BOB])).status, 200);
    assert.equal(tokens.issued.length, 1);

    tokens.forget();
    await cutConnections();
    const renewed = await send(kim, [BOB]);
    assert.equal(renewed.status, 200, renewed.text);
    assert.equal(tokens.issued.length, 2);

    tokens.revoke();
    await cutConnections();
    assert.equal((await send(kim, [BOB])).status, 403);
    await told('grant.expired', kim);
  });

  it('keeps one clean copy of each mail in Sent; where that is full, only its own waits', async () => {
    const kept = await eventually('a copy of each mail lies in Sent', async () => {
      const found = await host.mails(ALICE, 'Sent');
      return found.length >= 3 ? found : undefined;
    });
    assert.equal(kept.length, 3);
    const inSent = await Promise.all(kept.map((raw) => PostalMime.parse(raw)));
    const [copy, ...more] = inSent.filter(({ subject }) => subject === 'Zażółć');
    const received = await PostalMime.parse((await host.mails(BOB))[0] ?? '');
    assert.ok(copy);
    assert.equal(more.length, 0);
    assert.equal(copy.messageId, received.messageId);
    assert.equal(copy.date, received.date);
    assert.equal(copy.html?.trim(), OFFER);
    assert.deepEqual(copy.bcc, [{ address: 'hidden@example.com', name: '' }]);

    const waits = await eventually('the copy is put off', () =>
      service.log().find((line) => line.event === 'sent_copy.retried' && line.grant === carol),
    );
    assert.equal(waits.outcome, 'full');
    assert.equal((await host.mails(CAROL, 'Sent')).length, 0);
    assert.equal((await service.api('GET', `/v3/grants/${carol}`)).at('data.grant_status'), 'valid');
  });

  it('expires once when the password changes, and resumes under the same id', async () => {
    await host.change(ALICE, { password: 'alice-changed' });
    await cutConnections();
    const before = (await host.mails(BOB)).length;
    const refused = await Promise.all([send(alice, [BOB]), send(alice, [BOB])]);
    assert.ok(
      refused.every(({ status }) => status === 403 || status === 401),
      refused.map(({ text }) => text).join(),
    );
    assert.ok(refused.some(({ status }) => status === 403));
    assert.equal((await service.api('GET', `/v3/grants/${alice}`)).at('data.grant_status'), 'invalid');
    await told('grant.expired', alice);
    assert.equal((await send(alice, [BOB])).status, 401);
    assert.equal((await host.mails(BOB)).length, before);

    const again = await sdk.auth.customAuthentication({
      requestBody: { provider: 'imap', settings: imapSettings(host, ALICE) },
    });
    assert.equal(again.data.id, alice);
    assert.equal(again.data.grantStatus, 'valid');
    const sent = await send(alice, [BOB]);
    assert.equal(sent.status, 200, sent.text);
    assert.equal(of(await told('grant.updated', alice), 'data.object.reauthentication_flag'), true);
    assert.equal(notes('grant.expired', alice).length, 1);
    assert.equal(notes('grant.created', alice).length, 1);
  });

  it('can send without IMAP, and says what is off then', async () => {
    const { imap_host: _, imap_port: __, imap_security: ___, ...sending } = imapSettings(host, BOB);
    const connected = await connect(sending);
    assert.equal(connected.status, 201, connected.text);
    assert.match(String(connected.at('warnings.0.message')), /replies are off/);
    const sent = await send(String(connected.at('data.id')), [ALICE]);
    assert.equal(sent.status, 200, sent.text);
    assert.equal((await host.mails(ALICE)).length, 1);
  });

  it('is refused by the SDK’s own error class while its servers are away, and sends when they are back', async () => {
    await host.smtp.stop();
    const request = { to: [{ email: BOB }], subject: 'Away', body: 'Hello' };
    const error = await sdkError(sdk.messages.send({ identifier: alice, requestBody: request }));
    assert.equal(error.statusCode, 503);
    await host.smtp.start();
    await sdk.messages.send({ identifier: alice, requestBody: request });
    const last = await PostalMime.parse((await host.mails(BOB)).at(-1) ?? '');
    assert.equal(last.subject, 'Away');
  });

  it('tells of its end', async () => {
    assert.equal((await service.api('DELETE', `/v3/grants/${alice}`)).status, 200);
    await told('grant.deleted', alice);
    assert.equal((await send(alice, [BOB])).status, 404);
  });
});

/** The value at a path of a notification. */
function of(delivery: Received, path: string): unknown {
  return at(JSON.parse(delivery.body.toString()), path);
}
