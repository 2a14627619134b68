// A whole service with a mailbox on Dovecot and Postfix, whose mail is answered by others.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import PostalMime from 'postal-mime';
import { ALICE, BOB, type MailHost, startMailHost } from './dovecot.ts';
import { imapSettings } from './imap-settings.ts';
import { type Letter, newMessageId, written } from './letters.ts';
import { nylas } from './nylas.ts';
import { descendants, killHard } from './process-tree.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';
import { at, eventually, freePort, type Service, startService } from './service.ts';

type Sdk = ReturnType<typeof nylas>;
type SendRequest = Parameters<Sdk['messages']['send']>[0]['requestBody'];

/** A message of ours that was sent, and what its reader sees of it. */
export interface Tracked {
  readonly id: string;
  readonly threadId: string;
  readonly grant: string;
  readonly subject: string;
  /** The header, with angle brackets. */
  readonly messageId: string;
  readonly html: string;
}

export interface ReplyGround {
  readonly host: MailHost;
  readonly webhook: Receiver;
  /** The one that runs now. */
  service(): Service;
  readonly sdk: Sdk;
  /** Alice's grant. */
  readonly alice: string;
  connect(address: string, settings?: object): Promise<string>;
  set(settings: Readonly<Record<string, unknown>>): Promise<void>;
  /** Sends a mail whose replies are tracked from Alice to Bob. */
  track(subject: string, request?: Partial<SendRequest>, grant?: string): Promise<Tracked>;
  /** Bob's program answers by Postfix; returns the answer's Message-ID. */
  answer(tracked: Pick<Tracked, 'messageId' | 'subject'>, letter?: Partial<Letter>): Promise<string>;
  /** A mail of Bob's to Alice that is not sent yet. */
  letter(letter: Partial<Letter>): Promise<{ readonly messageId: string; readonly raw: Buffer }>;
  /** The objects of this trigger's notifications, in order of arrival; one that was delivered again counts once. */
  notes(trigger: string): readonly unknown[];
  /** Waits until so many replies to the message were told and returns them. */
  replied(root: Tracked, count: number, forMs?: number): Promise<readonly unknown[]>;
  /** Waits until the thread has so many messages; their ids. */
  inThread(tracked: Tracked, count: number, forMs?: number): Promise<readonly string[]>;
  /** Sends an answer of which is told; whatever came into the inbox before it has been looked at then. */
  fence(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Ends every process at once, and starts anew. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

export interface GroundOptions {
  readonly triggers?: readonly string[];
  readonly settings?: object;
  readonly env?: Readonly<Record<string, string>>;
  /** Before anything is connected. */
  prepare?(host: MailHost): Promise<void>;
}

export const REPLY_TRIGGERS = [
  'thread.replied',
  'message.bounce_detected',
  'message.send_success',
  'grant.expired',
  'grant.updated',
  'grant.deleted',
];
const KEY = 'the-key-of-this-test';
/** Whatever the machine is busy with. */
const PATIENCE_MS = 30_000;

export async function startReplyGround(options: GroundOptions = {}): Promise<ReplyGround> {
  const [host, webhook, port] = await Promise.all([startMailHost(), startReceiver(), freePort()]);
  const dataDir = await mkdtemp(join(tmpdir(), 'telltale-replies-'));
  const env = {
    TELLTALE_PUBLIC_URL: 'https://track.example.test',
    TELLTALE_API_KEY: KEY,
    TELLTALE_ALLOW_PRIVATE_TARGETS: '127.0.0.0/8, ::1/128',
    TELLTALE_MAIL_CA_FILE: host.caFile,
    ...options.env,
  };
  let service = await startService({ dataDir, port, env });
  const sdk = nylas({ apiKey: KEY, apiUri: service.url });
  let fence: Tracked | null = null;

  const connect = async (address: string, settings: object = {}): Promise<string> => {
    const connected = await service.api('POST', '/v3/connect/custom', {
      provider: 'imap',
      settings: { ...imapSettings(host, address), ...settings },
    });
    assert.ok(connected.status === 201 || connected.status === 200, connected.text);
    return String(connected.at('data.id'));
  };
  await options.prepare?.(host);
  const alice = await connect(ALICE, options.settings);
  const hook = await service.api('POST', '/v3/webhooks', {
    webhook_url: webhook.url,
    trigger_types: options.triggers ?? REPLY_TRIGGERS,
  });
  assert.equal(hook.status, 200, hook.text);
  const secret = String(hook.at('data.webhook_secret'));

  const notes = (trigger: string): unknown[] => {
    const all = webhook.deliveries.map(readNote).filter((note) => at(note, 'type') === trigger);
    return [...new Map(all.map((note) => [at(note, 'id'), at(note, 'data.object')])).values()];
  };
  const repliesTo = ({ id }: Tracked): unknown[] =>
    notes('thread.replied').filter((reply) => at(reply, 'root_message_id') === id);

  const ground: ReplyGround = {
    host,
    webhook,
    service: () => service,
    sdk,
    alice,
    connect,
    async set(settings) {
      const changed = await service.api('PATCH', '/v3/applications', { tracking_settings: settings });
      assert.equal(changed.status, 200, changed.text);
    },
    async track(subject, request = {}, grant = alice) {
      const sent = await sdk.messages.send({
        identifier: grant,
        requestBody: {
          to: [{ email: BOB }],
          subject,
          body: '<p>What do you think?</p>',
          trackingOptions: { opens: false, links: false, threadReplies: true, label: subject },
          ...request,
        },
      });
      const reader = request.to?.[0]?.email ?? BOB;
      const seen = host.owners.has(reader) ? await mailOf(host, reader, subject) : null;
      return {
        id: sent.data.id,
        threadId: String(sent.data.threadId),
        grant,
        subject,
        messageId: seen?.messageId ?? '',
        html: seen?.html ?? '',
      };
    },
    async letter(letter) {
      const messageId = letter.messageId ?? newMessageId();
      return { messageId, raw: await written({ from: BOB, to: ALICE, subject: 'Hello', ...letter, messageId }) };
    },
    async answer({ messageId: original, subject }, letter = {}) {
      const thread = { inReplyTo: original, references: [original] };
      const { messageId, raw } = await ground.letter({ subject: `Re: ${subject}`, ...thread, ...letter });
      await host.submit(BOB, [letter.to ?? ALICE], raw);
      return messageId;
    },
    notes,
    replied(root, count, forMs = PATIENCE_MS) {
      return within(`${count} replies to “${root.subject}” are told`, forMs, () => {
        const found = repliesTo(root);
        return found.length >= count ? found : undefined;
      });
    },
    inThread(tracked, count, forMs = PATIENCE_MS) {
      return within(`“${tracked.subject}” has ${count} messages in its thread`, forMs, async () => {
        const thread = await service.api('GET', `/v3/grants/${tracked.grant}/threads/${tracked.threadId}`);
        const ids = thread.at('data.message_ids');
        return Array.isArray(ids) && ids.length >= count ? ids.map(String) : undefined;
      });
    },
    async fence() {
      fence ??= await ground.track('Fence');
      const before = repliesTo(fence).length;
      await ground.answer(fence);
      await ground.replied(fence, before + 1);
    },
    async start() {
      service = await startService({ dataDir, port, env });
    },
    async stop() {
      assert.equal(await service.stop(), 0, service.errors());
    },
    async kill() {
      const pid = service.child.pid ?? 0;
      for (const each of [pid, ...descendants(pid)]) killHard(each);
      await service.exited;
      await ground.start();
    },
    async close() {
      await service.stop();
      await Promise.all([host.close(), webhook.close()]);
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
      for (const { headers, body } of webhook.deliveries) {
        assert.equal(headers['x-nylas-signature'], createHmac('sha256', secret).update(body).digest('hex'));
      }
    },
  };
  const within = async <T>(
    what: string,
    forMs: number,
    check: () => Promise<T | undefined> | T | undefined,
  ): Promise<T> =>
    await eventually(what, check, forMs).catch((error: Error) => {
      throw new Error(
        `${error.message}\n${recent(service)}\ntold: ${JSON.stringify(notes('thread.replied').slice(-4))}`,
      );
    });
  return ground;
}

/** The reader's newest mail of that subject, as a program shows it. */
async function mailOf(
  host: MailHost,
  reader: string,
  subject: string,
): Promise<{ readonly messageId: string; readonly html: string }> {
  for (const raw of [...(await host.mails(reader))].reverse()) {
    const mail = await PostalMime.parse(raw);
    if (mail.subject === subject) return { messageId: mail.messageId ?? '', html: mail.html ?? '' };
  }
  throw new Error(`${reader} has no mail “${subject}”`);
}

function readNote({ body }: Received): unknown {
  return JSON.parse(body.toString());
}

/** What the service said last, but for the calls it answered. */
function recent(service: Service): string {
  const lines = service.errors().split('\n');
  return lines
    .filter((line) => !line.includes('request.served'))
    .slice(-8)
    .map((line) => line.slice(0, 500))
    .join('\n');
}
