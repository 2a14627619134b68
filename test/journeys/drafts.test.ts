// Drafts as their author sees them: by the API and in the Drafts folder of a mailbox, until they are sent or deleted.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import PostalMime, { type Email } from 'postal-mime';
import { ALICE, BOB, CAROL, type MailHost, noDovecot, startMailHost } from '../support/dovecot.ts';
import { imapSettings } from '../support/imap-settings.ts';
import { startMailService } from '../support/mail-service.ts';
import { type Received, type Receiver, startReceiver } from '../support/receiver.ts';
import { type Answer, at, eventually, type Service, startService } from '../support/service.ts';
import { trackedPaths } from '../support/tracked-paths.ts';

const OFFER = '<p>Dear Bob, <a href="https://example.com/offer?a=1&amp;b=2">look</a>.</p>';
const TRIGGERS = ['message.opened', 'message.link_clicked'];
/** Longer than the pause after which the mailbox follows. */
const PATIENCE_MS = 40_000;

interface Place {
  readonly service: () => Service;
  readonly grant: () => string;
  /** The drafts in the mailbox. */
  readonly drafts: () => Promise<readonly Email[]>;
  /** What arrived at Bob's with this subject. */
  readonly arrived: (subject: string) => Promise<readonly Email[]>;
  readonly webhook: () => Receiver;
}

function follows({ service, grant, drafts, arrived, webhook }: Place): void {
  const call = async (method: string, path = '', body?: unknown): Promise<Answer> => {
    const answer = await service().api(method, `/v3/grants/${grant()}/drafts${path}`, body);
    assert.equal(answer.status, 200, answer.text);
    return answer;
  };
  const inMailbox = async (subjects: readonly string[]): Promise<readonly Email[]> => {
    let last: string[] = [];
    return await eventually(
      `the mailbox has ${JSON.stringify(subjects)}`,
      async () => {
        const found = await drafts();
        last = found.map(({ subject = '' }) => subject).sort();
        return JSON.stringify(last) === JSON.stringify([...subjects].sort()) ? found : undefined;
      },
      PATIENCE_MS,
    ).catch((error: unknown) => {
      throw new Error(`${error}: it has ${JSON.stringify(last)}`);
    });
  };

  it('appear in the folder, change there, and leave it when they are deleted', async () => {
    const made = await call('POST', '', {
      to: [{ email: BOB }],
      bcc: [{ email: 'hidden@example.com' }],
      subject: 'Zażółć',
      body: OFFER,
      attachments: [{ filename: 'ż.txt', content_type: 'text/plain', content: 'YWJj' }],
      tracking_options: { opens: true, links: true },
    });
    const id = String(made.at('data.id'));
    const [mail] = await inMailbox(['Zażółć']);
    assert.match(mail?.html ?? '', /<a href="https:\/\/example\.com\/offer\?a=1&amp;b=2">look<\/a>/);
    assert.doesNotMatch(mail?.html ?? '', /<img/);
    assert.deepEqual([mail?.to?.[0]?.address, mail?.bcc?.[0]?.address], [BOB, 'hidden@example.com']);
    assert.equal(mail?.attachments[0]?.filename, 'ż.txt');

    await call('PUT', `/${id}`, { subject: 'Second', attachments: [] });
    await call('PUT', `/${id}`, { subject: 'Third' });
    const [third] = await inMailbox(['Third']);
    assert.equal(third?.attachments.length, 0);

    await call('DELETE', `/${id}`);
    await inMailbox([]);
    assert.equal((await call('GET')).at('data.length'), 0);
  });

  it('have large attachments whole, in the folder and as they are sent', async () => {
    const file = randomBytes(5 * 1024 * 1024);
    const mail = { to: [{ email: BOB }], subject: 'Large', body: OFFER };
    const id = await upload(service(), `/v3/grants/${grant()}/drafts`, mail, file);
    const whole = (found: Email | undefined): boolean => {
      const content = found?.attachments[0]?.content;
      return content instanceof ArrayBuffer && file.equals(Buffer.from(content));
    };
    assert.ok(whole((await inMailbox(['Large']))[0]));
    await call('POST', `/${id}`);
    assert.ok(whole(await eventually('it arrives', async () => (await arrived('Large'))[0])));
    await inMailbox([]);
  });

  it('leave as tracked mail, and the folder with it', async () => {
    const tracking = { opens: true, links: true, label: 'from a draft' };
    const made = await call('POST', '', { subject: 'Sent later', body: OFFER, tracking_options: tracking });
    await inMailbox(['Sent later']);
    const id = String(made.at('data.id'));
    await call('PUT', `/${id}`, { to: [{ email: BOB }] });
    const sent = await call('POST', `/${id}`);
    assert.equal(sent.at('data.object'), 'message');
    const [mail, ...more] = await eventually('it arrives', async () => {
      const found = await arrived('Sent later');
      return found.length > 0 ? found : undefined;
    });
    assert.equal(more.length, 0);
    await inMailbox([]);

    const { pixels, links } = trackedPaths(mail?.html ?? '');
    await (await fetch(service().url + pixels[0])).arrayBuffer();
    const click = await fetch(service().url + links[0], { redirect: 'manual' });
    assert.equal(click.headers.get('location'), 'https://example.com/offer?a=1&b=2');
    for (const trigger of TRIGGERS) {
      const note = await eventually(`${trigger} arrives`, () =>
        webhook().deliveries.find(
          (received) =>
            of(received, 'type') === trigger && of(received, 'data.object.message_id') === sent.at('data.id'),
        ),
      );
      assert.equal(of(note, 'data.object.label'), 'from a draft');
    }
    assert.equal((await service().api('GET', `/v3/grants/${grant()}/drafts/${id}`)).status, 404);
  });
}

function of({ body }: Received, path: string): unknown {
  return at(JSON.parse(body.toString()), path);
}

/** As a form; its id. */
async function upload(service: Service, path: string, mail: object, file: Buffer): Promise<string> {
  const form = new FormData();
  form.set('message', JSON.stringify(mail));
  form.set('file0', new File([new Uint8Array(file)], 'large.bin', { type: 'application/pdf' }));
  const response = await fetch(service.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${await service.apiKey()}` },
    body: form,
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return String(at(JSON.parse(text), 'data.id'));
}

async function subscribe(service: Service, webhook: Receiver): Promise<void> {
  const hook = await service.api('POST', '/v3/webhooks', { webhook_url: webhook.url, trigger_types: TRIGGERS });
  assert.equal(hook.status, 200, hook.text);
}

describe('drafts on Dovecot and Postfix', { skip: noDovecot() }, () => {
  let host: MailHost;
  let service: Service;
  let webhook: Receiver;
  let alice: string;

  before(async () => {
    [webhook, host] = await Promise.all([startReceiver(), startMailHost()]);
    service = await startMailService({ TELLTALE_MAIL_CA_FILE: host.caFile });
    await subscribe(service, webhook);
    alice = await connect(ALICE);
  });
  after(async () => {
    await service?.stop();
    await Promise.all([host?.close(), webhook.close()]);
  });

  const connect = async (address: string): Promise<string> => {
    const settings = imapSettings(host, address);
    const connected = await service.api('POST', '/v3/connect/custom', { provider: 'imap', settings });
    assert.equal(connected.status, 201, connected.text);
    return String(connected.at('data.id'));
  };
  const drafts = async (): Promise<readonly Email[]> =>
    await Promise.all((await host.mails(ALICE, 'Drafts')).map((raw) => PostalMime.parse(raw)));

  follows({
    service: () => service,
    grant: () => alice,
    drafts,
    arrived: async (subject) => {
      const mails = await Promise.all((await host.mails(BOB)).map((raw) => PostalMime.parse(raw)));
      return mails.filter((mail) => mail.subject === subject);
    },
    webhook: () => webhook,
  });

  it('come back where somebody deleted the folder, and are gone where nothing of them is left', async () => {
    const post = (body: object): Promise<Answer> => service.api('POST', `/v3/grants/${alice}/drafts`, body);
    const [first, second] = [await post({ subject: 'first' }), await post({ subject: 'second' })];
    await eventually('both are there', async () => ((await drafts()).length === 2 ? true : undefined), PATIENCE_MS);
    await host.withProgram(ALICE, async (program) => {
      await program.mailboxDelete('Drafts');
    });
    const path = (made: Answer): string => `/v3/grants/${alice}/drafts/${made.at('data.id')}`;
    await service.api('PUT', path(first), { subject: 'changed' });
    await service.api('DELETE', path(second));
    await eventually(
      'the changed one is there alone',
      async () => {
        const subjects = (await drafts()).map(({ subject }) => subject);
        return JSON.stringify(subjects) === '["changed"]' ? true : undefined;
      },
      PATIENCE_MS,
    );
    await service.api('DELETE', path(first));
    await eventually('none is', async () => ((await drafts()).length === 0 ? true : undefined), PATIENCE_MS);
  });

  it('stay drafts where the mailbox has no room for them', async () => {
    const carol = await connect(CAROL);
    const path = `/v3/grants/${carol}/drafts`;
    const made = await service.api('POST', path, { to: [{ email: BOB }], subject: 'no room', body: OFFER });
    await eventually('it was tried', () => service.log().find(({ event }) => event === 'draft.retried'), PATIENCE_MS);
    assert.equal((await service.api('GET', `${path}/${made.at('data.id')}`)).at('data.subject'), 'no room');
    assert.equal((await service.api('POST', `${path}/${made.at('data.id')}`)).status, 200);
  });
});

describe('drafts in the practice mailbox', () => {
  let service: Service;
  let webhook: Receiver;
  before(async () => {
    webhook = await startReceiver();
    service = await startService();
    await subscribe(service, webhook);
  });
  after(async () => {
    await service?.stop();
    await webhook.close();
  });

  const mails = async (folder: string): Promise<readonly Email[]> => {
    const list = await service.api('GET', `/practice/messages?folder=${folder}`);
    const ids = Array.from(Object(list.at('data')), (mail) => String(at(mail, 'id')));
    const raws = await Promise.all(ids.map((id) => service.api('GET', `/practice/messages/${id}/raw`)));
    return await Promise.all(raws.map(({ text }) => PostalMime.parse(text)));
  };

  follows({
    service: () => service,
    grant: () => service.grantId(),
    drafts: () => mails('DRAFTS'),
    arrived: async (subject) => (await mails('SENT')).filter((mail) => mail.subject === subject),
    webhook: () => webhook,
  });
});
