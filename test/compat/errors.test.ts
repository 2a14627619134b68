// Every refusal that a user of Nylas's own Node SDK meets: the SDK must hand over type, message and request id.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WebhookTriggers } from 'nylas';
import { expireGrant, saveGrant } from '../../src/grants/grants.ts';
import { nylas } from '../support/nylas.ts';
import { status } from '../support/receiver.ts';
import { sdkError } from '../support/sdk-error.ts';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';

type Sdk = ReturnType<typeof nylas>;
type Mail = Parameters<Sdk['messages']['send']>[0]['requestBody'];

let api: WholeApi;
let sdk: Sdk;

before(async () => {
  api = await startWholeApi();
  sdk = nylas({ apiKey: api.key, apiUri: api.url });
});
after(async () => {
  await api.close();
});

const MAIL: Mail = { to: [{ email: 'kim@example.com' }], subject: 'Hello', body: '<p>Hello</p>' };
const send = (changes: object, from: string = api.grant.id): Promise<unknown> =>
  sdk.messages.send({ identifier: from, requestBody: { ...MAIL, ...changes } });
const subscribe = (changes: object): Promise<unknown> =>
  sdk.webhooks.create({
    requestBody: { triggerTypes: [WebhookTriggers.MessageOpened], webhookUrl: api.receiver.url, ...changes },
  });
const links = (count: number): string =>
  Array.from({ length: count }, (_, index) => `<a href="https://example.com/${index}">x</a>`).join('');

interface Case {
  readonly name: string;
  readonly work: () => Promise<unknown>;
  readonly status: number;
  readonly type: string;
  readonly message: string | RegExp;
}

const UNSENT = (kind: string): string =>
  `The message has not been sent. Please try resending with ${kind} tracking disabled.`;
const REQUEST = 'api.invalid_request_error';

const CASES: readonly Case[] = [
  {
    name: 'an unknown key',
    work: () => nylas({ apiKey: 'nyk_unknown', apiUri: api.url }).webhooks.list(),
    status: 401,
    type: 'api.authentication_error',
    message: 'Unauthorized: this API key is unknown or was revoked.',
  },
  {
    name: 'an unknown grant',
    work: () => sdk.grants.find({ grantId: 'nobody@example.com' }),
    status: 404,
    type: 'grant.not_found',
    message: 'Grant not found.',
  },
  {
    name: 'an unknown grant to send from',
    work: () => send({}, '11111111-2222-4333-8444-555555555555'),
    status: 404,
    type: 'grant.not_found',
    message: 'Grant not found.',
  },
  {
    name: 'the grant me',
    work: () => send({}, 'me'),
    status: 401,
    type: 'api.authentication_error',
    message: /^Unauthorized: the grant "me" needs an access token\.$/,
  },
  {
    name: 'an unknown webhook',
    work: () => sdk.webhooks.rotateSecret({ webhookId: 'wh_unknown' }),
    status: 400,
    type: '70000',
    message: 'destination.id.not.found : record not found',
  },
  {
    name: 'a path that is not built',
    work: () => sdk.calendars.list({ identifier: api.grant.id }),
    status: 404,
    type: 'api.not_found_error',
    message: 'Resource not found.',
  },
  {
    name: 'an unknown trigger',
    work: () => subscribe({ triggerTypes: ['message.opend'] }),
    status: 400,
    type: REQUEST,
    message: /^trigger_types must not contain "message\.opend"/,
  },
  {
    name: 'a webhook without an address',
    work: () => subscribe({ webhookUrl: undefined }),
    status: 400,
    type: REQUEST,
    message: 'webhook_url is required',
  },
  {
    name: 'a notification address that is none',
    work: () => subscribe({ notificationEmailAddresses: ['ops@example.com', 'nobody'] }),
    status: 400,
    type: REQUEST,
    message: /^notification_email_addresses\[1\] /,
  },
  {
    name: 'a webhook inside the network',
    work: () => subscribe({ webhookUrl: 'https://10.0.0.1/' }),
    status: 400,
    type: '70005',
    message: 'unable.verify.webhook_url : the host leads to a private address',
  },
  {
    name: 'a recipient that is no address',
    work: () => send({ to: [{ email: 'kim@example.com' }, { email: 'not an address' }] }),
    status: 400,
    type: REQUEST,
    message: 'to[1].email must be an address such as name@example.com',
  },
  {
    name: 'no recipient',
    work: () => send({ to: [] }),
    status: 400,
    type: REQUEST,
    message: 'to must not be empty',
  },
  {
    name: 'a recipient without an address',
    work: () => send({ cc: [{ name: 'Kim' }] }),
    status: 400,
    type: REQUEST,
    message: 'cc[0].email is required',
  },
  {
    name: 'a subject that would be another header',
    work: () => send({ subject: 'a\r\nBcc: eve@example.com' }),
    status: 400,
    type: REQUEST,
    message: /^subject must not contain line breaks/,
  },
  {
    name: 'a header that is ours',
    work: () => send({ customHeaders: [{ name: 'Message-ID', value: '<a@b>' }] }),
    status: 400,
    type: REQUEST,
    message: 'custom_headers[0].name must not be Message-ID: the service writes that header',
  },
  {
    name: 'two senders',
    work: () => send({ from: [{ email: 'a@practice.test' }, { email: 'b@practice.test' }] }),
    status: 400,
    type: REQUEST,
    message: 'from must have one entry',
  },
  {
    name: 'an attachment that is not base64',
    work: () => send({ attachments: [{ filename: 'a', contentType: 'text/plain', content: '%%%', size: 3 }] }),
    status: 400,
    type: REQUEST,
    message: 'attachments[0].content must be base64',
  },
  {
    name: 'a wrong type',
    work: () => send({ trackingOptions: { opens: 'yes' } }),
    status: 400,
    type: REQUEST,
    message: 'tracking_options.opens must be true or false',
  },
  {
    name: 'a hostname for tracking that is not active',
    work: () => send({ trackingOptions: { opens: true, domainName: 'links.example.com' } }),
    status: 400,
    type: REQUEST,
    message: 'tracking_options.domain_name must be an active custom hostname for this organization',
  },
  {
    name: '101 links (D3)',
    work: () => send({ body: links(101), trackingOptions: { links: true } }),
    status: 400,
    type: 'api.tracking_error',
    message:
      'Too many tracking links: 101 exceeds the maximum of 100. Please reduce the number of links in your email.',
  },
  {
    name: 'a label too long, opens tracked (D6)',
    work: () => send({ trackingOptions: { opens: true, threadReplies: true, label: 'x'.repeat(2049) } }),
    status: 400,
    type: 'api.tracking_error',
    message: UNSENT('open'),
  },
  {
    name: 'a label too long, replies tracked (D6)',
    work: () => send({ trackingOptions: { threadReplies: true, label: 'x'.repeat(2049) } }),
    status: 400,
    type: 'api.tracking_error',
    message: UNSENT('reply'),
  },
  {
    name: 'a label too long, links tracked (D6)',
    work: () => send({ trackingOptions: { links: true, label: 'x'.repeat(2049) } }),
    status: 400,
    type: REQUEST,
    message: 'tracking_options.label must have at most 2048 characters.',
  },
  {
    name: 'metadata too large, opens tracked (D6)',
    work: () => send({ metadata: { key1: 'x'.repeat(501) }, trackingOptions: { opens: true } }),
    status: 400,
    type: 'api.tracking_error',
    message: UNSENT('open'),
  },
  {
    name: 'metadata too large (D6)',
    work: () => send({ metadata: { key1: 'x'.repeat(501) } }),
    status: 400,
    type: REQUEST,
    message: 'metadata.key1 must have at most 500 characters.',
  },
  {
    name: 'an unknown parent (D27)',
    work: () => send({ replyToMessageId: '18ac281f237c934b' }),
    status: 404,
    type: 'api.not_found_error',
    message: 'reply_to_message_id: no message "18ac281f237c934b" was found in this grant.',
  },
  {
    name: 'a time that is too near (D29)',
    work: () => send({ sendAt: Math.floor(Date.now() / 1000) + 30 }),
    status: 400,
    type: REQUEST,
    message: /^send_at /,
  },
  {
    name: 'a template',
    work: () => send({ template: { id: 'a' } }),
    status: 400,
    type: REQUEST,
    message: /^template is not supported/,
  },
  {
    name: 'a signature',
    work: () => send({ signatureId: 'a' }),
    status: 400,
    type: REQUEST,
    message: /^signature_id is not supported/,
  },
  {
    name: 'a draft of the provider',
    work: () => send({ useDraft: true, sendAt: Math.floor(Date.now() / 1000) + 3600 }),
    status: 400,
    type: REQUEST,
    message: /^use_draft is not supported/,
  },
  {
    name: 'a file of an upload session',
    work: () => send({ attachments: [{ id: 'upload' }] }),
    status: 400,
    type: REQUEST,
    message: /^attachments\[0\]\.id is not supported/,
  },
  {
    name: 'a setting that is none',
    work: () => sdk.applications.update({ requestBody: Object({ trackingSettings: { colour: 'red' } }) }),
    status: 400,
    type: REQUEST,
    message: 'tracking_settings.colour is not a known setting',
  },
  {
    name: 'a body too large',
    work: () => subscribe({ description: 'x'.repeat(4_000_000) }),
    status: 413,
    type: REQUEST,
    message: /^The request body is too large: JSON bodies may have 3 MB, those of a send and a draft 6 MB\./,
  },
  {
    name: 'a text so large that the SDK makes a form of it',
    work: () => send({ body: 'x'.repeat(8_000_000) }),
    status: 413,
    type: REQUEST,
    message: /\b6 MB\b/,
  },
];

describe('refusals in the official Node SDK', () => {
  for (const { name, work, status: expected, type, message } of CASES) {
    it(name, async () => {
      const error = await sdkError(work());
      assert.equal(error.statusCode, expected);
      assert.equal(error.type, type);
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.equal(error.providerError, undefined);
    });
  }

  it('a receiver that fails its challenge', async () => {
    api.receiver.behave(status(404), 'everything');
    const error = await sdkError(subscribe({}));
    assert.deepEqual(
      [error.statusCode, error.type, error.message],
      [400, '70005', 'unable.verify.webhook_url : status is not ok, got 404'],
    );
  });

  it('a trial that tracks (D5), and only then', async () => {
    const { key, grant } = await api.application('sandbox');
    const trial = nylas({ apiKey: key, apiUri: api.url });
    for (const option of ['opens', 'links', 'threadReplies']) {
      const trackingOptions = { [option]: true };
      const sent = trial.messages.send({ identifier: grant.id, requestBody: { ...MAIL, ...{ trackingOptions } } });
      const error = await sdkError(sent);
      assert.deepEqual(
        [error.statusCode, error.type, error.message],
        [403, 'api.tracking_error', 'Tracking options are not allowed for trial accounts'],
      );
    }
    const labelled = { ...MAIL, ...{ trackingOptions: { opens: false, label: 'harmless' } } };
    const { data } = await trial.messages.send({ identifier: grant.id, requestBody: labelled });
    assert.equal(data.trackingOptions?.label, 'harmless');
  });

  it('a grant whose credentials are gone: the provider’s error is an object', async () => {
    const { grant } = await saveGrant(api, api.grant.app, { provider: 'imap', email: 'empty@example.com' });
    const error = await sdkError(send({}, grant.id));
    assert.equal(error.statusCode, 403);
    assert.equal(error.type, 'api.provider_error');
    assert.deepEqual(error.providerError, { reason: 'the grant has no credentials' });
  });

  it('a practice grant that has expired', async () => {
    const { key, grant } = await api.application('production');
    const theirs = nylas({ apiKey: key, apiUri: api.url });
    assert.ok(await expireGrant(api.sql, grant.app, grant.id));
    const error = await sdkError(theirs.messages.send({ identifier: grant.email, requestBody: MAIL }));
    assert.deepEqual([error.statusCode, error.type], [401, 'api.authentication_error']);
    assert.equal(error.message, 'Unauthorized: the grant has expired; authenticate it again.');
    const { data } = await theirs.grants.find({ grantId: grant.email });
    assert.equal(data.grantStatus, 'invalid');
  });
});
