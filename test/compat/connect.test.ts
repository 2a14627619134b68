// Nylas's own Node SDK, unmodified, connects a mailbox by its password and sends from it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { nylas } from '../support/nylas.ts';
import { sdkError } from '../support/sdk-error.ts';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';

let api: WholeApi;
let sdk: ReturnType<typeof nylas>;

before(async () => {
  api = await startWholeApi();
  sdk = nylas({ apiKey: api.key, apiUri: api.url });
});
after(async () => {
  await api.close();
});

async function connect(settings: Readonly<Record<string, unknown>>, state?: string) {
  return await sdk.auth.customAuthentication({
    requestBody: { provider: 'imap', settings: camel(settings), ...(state !== undefined && { state }) },
  });
}

/** As an author of JavaScript writes it; the SDK makes snake_case of it. */
function camel(settings: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [
      name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

describe('connecting a mailbox in the official Node SDK', () => {
  it('makes a grant, shows no password, and sends from it', async () => {
    const { data, requestId } = await connect(api.mailbox, 'mine');
    assert.match(requestId, /^[0-9a-f-]{36}$/);
    assert.equal(data.provider, 'imap');
    assert.equal(data.grantStatus, 'valid');
    assert.equal(data.email, api.mail.user);
    assert.equal(data.state, 'mine');
    assert.equal(JSON.stringify(data).includes(String(api.mailbox.imap_password)), false);
    const before = api.mail.delivered().length;
    const sent = await sdk.messages.send({
      identifier: data.id,
      requestBody: { to: [{ email: 'kim@example.com' }], subject: 'From the mailbox', body: 'x' },
    });
    assert.equal(sent.data.grantId, data.id);
    assert.match(api.mail.delivered()[before]?.toString() ?? '', /^Subject: From the mailbox\r$/m);
  });

  it('again keeps the grant’s id', async () => {
    const first = await connect(api.mailbox);
    const second = await connect(api.mailbox);
    assert.equal(second.data.id, first.data.id);
  });

  it('without imap_host says that replies are off', async () => {
    const { smtp_host, smtp_port, imap_password, imap_username } = api.mailbox;
    const answer = await connect({ smtp_host, smtp_port, imap_password, imap_username });
    const warnings = [Reflect.get(answer, 'warnings')].flat();
    assert.deepEqual(
      warnings.map((warning) => Reflect.get(Object(warning), 'type')),
      ['grant.send_only'],
    );
  });

  it('names what is wrong', async () => {
    const wrong = await sdkError(connect({ ...api.mailbox, imap_password: 'wrong' }));
    assert.equal(wrong.statusCode, 400);
    assert.equal(wrong.type, 'grant.invalid_authentication');
    assert.match(wrong.message, /^settings\.imap_password: 127\.0\.0\.1:\d+ refused the login of "/);
    assert.equal(typeof wrong.providerError, 'object');
    const missing = await sdkError(connect({ ...api.mailbox, imap_password: undefined }));
    assert.deepEqual(
      [missing.statusCode, missing.type, missing.message],
      [400, 'api.invalid_request_error', 'settings.imap_password is required'],
    );
  });
});
