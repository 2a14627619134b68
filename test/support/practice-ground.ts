// A whole service whose practice mailbox is answered, by its page's own route or as a mail server would.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectEmbedded } from '../../src/db/embedded.ts';
import { connect } from '../../src/db/pool.ts';
import { practiceInbox } from '../../src/grants/practice-mail.ts';
import type { AppSerial, GrantId } from '../../src/ids.ts';
import { descendants, killHard } from './process-tree.ts';
import { type Received, startReceiver } from './receiver.ts';
import { type Answer, at, eventually, freePort, type Service, startService } from './service.ts';

export const KIM = 'kim@example.com';

export interface PracticeTracked {
  readonly id: string;
  readonly threadId: string;
  /** The header, with angle brackets. */
  readonly messageId: string;
}

export interface PracticeGround {
  /** The one that runs now. */
  service(): Service;
  /** The grant that the calls below act for. */
  grant(): string;
  act(grant: string): void;
  set(settings: Readonly<Record<string, unknown>>): Promise<void>;
  track(subject: string, request?: object): Promise<PracticeTracked>;
  /** Kim's program answers. */
  answer(root: Pick<PracticeTracked, 'id'>, body?: object): Promise<Answer>;
  /** Puts a mail into the inbox as it is, which the page could not write. */
  put(raw: Buffer, grant?: string): Promise<void>;
  /** The objects of this trigger's notifications; one that was delivered again counts once. */
  notes(trigger: string): readonly unknown[];
  repliesTo(root: Pick<PracticeTracked, 'id'>): readonly unknown[];
  /** Waits until so many replies were told. */
  replied(root: Pick<PracticeTracked, 'id'>, count: number): Promise<readonly unknown[]>;
  /** Waits until the thread has so many messages. */
  inThread(root: PracticeTracked, count: number): Promise<void>;
  /** Sends an answer of which is told; whatever came into the inbox before it has been looked at then. */
  fence(): Promise<void>;
  restart(): Promise<void>;
  /** Every process at once, and starts anew. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

const TRIGGERS = ['thread.replied', 'message.bounce_detected', 'message.created', 'grant.expired'];
const PATIENCE_MS = 30_000;

export async function startPracticeGround(): Promise<PracticeGround> {
  const [dataDir, port, webhook] = await Promise.all([
    mkdtemp(join(tmpdir(), 'telltale-practice-')),
    freePort(),
    startReceiver(),
  ]);
  let service = await startService({ dataDir, port });
  let grant = service.grantId();
  let fence: PracticeTracked | null = null;
  const body = { webhook_url: webhook.url, trigger_types: TRIGGERS };
  const hook = await service.api('POST', '/v3/webhooks', body);
  assert.equal(hook.status, 200, hook.text);

  const within = async <T>(what: string, check: () => Promise<T | undefined> | T | undefined): Promise<T> =>
    await eventually(what, check, PATIENCE_MS).catch((error: Error) => {
      const said = service.errors().split('\n');
      const lines = said
        .filter((line) => !line.includes('request.served'))
        .slice(-8)
        .map((line) => line.slice(0, 500));
      throw new Error([error.message, ...lines, JSON.stringify(ground.notes('thread.replied').slice(-4))].join('\n'));
    });

  const ground: PracticeGround = {
    service: () => service,
    grant: () => grant,
    act(other) {
      grant = other;
      fence = null;
    },
    async set(settings) {
      const changed = await service.api('PATCH', '/v3/applications', { tracking_settings: settings });
      assert.equal(changed.status, 200, changed.text);
    },
    async track(subject, request = {}) {
      const sent = await service.api('POST', `/v3/grants/${grant}/messages/send`, {
        to: [{ name: 'Kim', email: KIM }],
        subject,
        body: '<p>What do you think? <a href="https://example.com/a">a</a></p>',
        tracking_options: { opens: true, links: true, thread_replies: true, label: subject },
        ...request,
      });
      assert.equal(sent.status, 200, sent.text);
      const id = String(sent.at('data.id'));
      const kept = await service.api('GET', `/practice/messages/${id}`);
      return { id, threadId: String(sent.at('data.thread_id')), messageId: String(kept.at('data.message_id')) };
    },
    async answer({ id }, reply = {}) {
      const answered = await service.api('POST', `/practice/messages/${id}/reply`, { text: 'Yes', ...reply });
      assert.equal(answered.status, 200, answered.text);
      return answered;
    },
    async put(raw, to = grant) {
      const connection = await connectEmbedded(dataDir);
      assert.ok(connection);
      const sql = connect(connection, { max: 1, applicationName: 'test' });
      try {
        const [owner] = await sql<{ app: AppSerial; id: GrantId; email: string }[]>`
          select app, id, email from grants where id = ${to}`;
        assert.ok(owner);
        await practiceInbox({ sql })(owner, raw);
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
    notes(trigger) {
      const all = webhook.deliveries.map(readNote).filter((note) => at(note, 'type') === trigger);
      return [...new Map(all.map((note) => [at(note, 'id'), at(note, 'data.object')])).values()];
    },
    repliesTo: ({ id }) => ground.notes('thread.replied').filter((note) => at(note, 'root_message_id') === id),
    replied: (root, count) =>
      within(`${count} replies are told`, () => {
        const found = ground.repliesTo(root);
        return found.length >= count ? found : undefined;
      }),
    async inThread({ threadId }, count) {
      await within(`the thread has ${count} messages`, async () => {
        const thread = await service.api('GET', `/v3/grants/${grant}/threads/${threadId}`);
        const ids = thread.at('data.message_ids');
        return Array.isArray(ids) && ids.length >= count ? true : undefined;
      });
    },
    async fence() {
      fence ??= await ground.track('Fence');
      const before = ground.repliesTo(fence).length;
      await ground.answer(fence);
      await ground.replied(fence, before + 1);
    },
    async restart() {
      assert.equal(await service.stop(), 0, service.errors());
      service = await startService({ dataDir, port });
    },
    async kill() {
      const pid = service.child.pid ?? 0;
      for (const each of [pid, ...descendants(pid)]) killHard(each);
      await service.exited;
      service = await startService({ dataDir, port });
    },
    async close() {
      await service.stop();
      await webhook.close();
      await rm(dataDir, { recursive: true, force: true, maxRetries: 20 });
    },
  };
  return ground;
}

function readNote({ body }: Received): unknown {
  return JSON.parse(body.toString());
}
