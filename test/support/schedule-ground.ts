// Whole services on one database that send scheduled mails; their times are moved in the database instead of waited for.
import assert from 'node:assert/strict';
import { fromWireId } from '../../src/ids.ts';
import { type Nodes, startNodes } from './nodes.ts';
import { startReceiver } from './receiver.ts';
import { type Answer, at, eventually } from './service.ts';

export interface Scheduled {
  readonly scheduleId: string;
  /** Wire id of the message. */
  readonly id: string;
  /** Unix seconds, as asked for. */
  readonly sendAt: number;
  readonly answer: Answer;
}

export interface ScheduleGround {
  readonly nodes: Nodes;
  /** The practice grant. */
  readonly grant: string;
  schedule(subject: string, change?: object, by?: string): Promise<Scheduled>;
  /** Makes it due; the time of a mail lies so many seconds in the past then. */
  due(which: readonly Pick<Scheduled, 'scheduleId'>[], ago?: number): Promise<void>;
  read(which: Pick<Scheduled, 'scheduleId'>, by?: string): Promise<Answer>;
  cancel(which: Pick<Scheduled, 'scheduleId'>, by?: string): Promise<Answer>;
  /** Waits until its status is this. */
  reaches(which: Pick<Scheduled, 'scheduleId'>, code: string, by?: string): Promise<Answer>;
  /** How many mails of this message lie in the practice mailbox. */
  kept(which: Pick<Scheduled, 'id'>): Promise<number>;
  /** Its mail as it lies in the practice mailbox. */
  raw(which: Pick<Scheduled, 'id'>): Promise<string>;
  /** The objects told of this message, each once however often it was delivered. */
  told(trigger: string, which: Pick<Scheduled, 'id'>): readonly unknown[];
  /** Waits for the first of them. */
  isTold(trigger: string, which: Pick<Scheduled, 'id'>): Promise<unknown>;
  close(): Promise<void>;
}

/** A node that is killed in the middle of an attempt holds the delivery until its claim runs out. */
const PATIENCE_MS = 60_000;
const TRIGGERS = ['message.send_success', 'message.send_failed', 'message.opened', 'message.link_clicked'];

export async function startScheduleGround(
  count = 1,
  env: Readonly<Record<string, string>> = {},
): Promise<ScheduleGround> {
  const [webhook, nodes] = await Promise.all([startReceiver(), startNodes(count, env)]);
  const { sql } = nodes;
  const subscribed = await nodes.api('POST', '/v3/webhooks', { webhook_url: webhook.url, trigger_types: TRIGGERS });
  assert.equal(subscribed.status, 200, subscribed.text);
  const grant = await nodes.grantId();

  const ground: ScheduleGround = {
    nodes,
    grant,
    async schedule(subject, change = {}, by = grant) {
      const sendAt = Math.floor(Date.now() / 1000) + 3600;
      const answer = await nodes.api('POST', `/v3/grants/${by}/messages/send`, {
        to: [{ name: 'Kim', email: 'kim@example.com' }],
        subject,
        body: '<p>Hello <a href="https://example.com/demo">demo</a></p>',
        tracking_options: { opens: true, links: true, label: subject },
        send_at: sendAt,
        ...change,
      });
      assert.equal(answer.status, 200, answer.text);
      return { scheduleId: String(answer.at('data.schedule_id')), id: String(answer.at('data.id')), sendAt, answer };
    },
    async due(which, ago = 0) {
      await sql`
        update schedules set send_at = now() - ${ago}::float8 * interval '1 second', next_try_at = now()
        where id = any(${which.map(({ scheduleId }) => scheduleId)}::uuid[]) and next_try_at is not null`;
    },
    read: ({ scheduleId }, by = grant) => nodes.api('GET', `/v3/grants/${by}/messages/schedules/${scheduleId}`),
    cancel: ({ scheduleId }, by = grant) => nodes.api('DELETE', `/v3/grants/${by}/messages/schedules/${scheduleId}`),
    async reaches(which, code, by) {
      let last = '';
      return await eventually(`the schedule is ${code}`, async () => {
        const shown = await ground.read(which, by);
        last = shown.text;
        return shown.at('data.status.code') === code ? shown : undefined;
      }).catch((error: Error) => {
        throw new Error(`${error.message}\n${last}`);
      });
    },
    async kept({ id }) {
      const rows = await sql`
        select from practice_messages p join messages m on m.message_id = p.message_id
        where m.id = ${fromWireId('msg', id)} and p.folder = 'SENT'`;
      return rows.length;
    },
    raw: async ({ id }) => (await nodes.api('GET', `/practice/messages/${id}/raw`)).text,
    told(trigger, { id }) {
      const notes = webhook.deliveries.map(({ body }): unknown => JSON.parse(body.toString()));
      const own = notes.filter((note) => at(note, 'type') === trigger && isOf(at(note, 'data.object'), id));
      return [...new Map(own.map((note) => [at(note, 'id'), at(note, 'data.object')])).values()];
    },
    isTold: (trigger, which) => eventually(`${trigger} is told`, () => ground.told(trigger, which)[0], PATIENCE_MS),
    async close() {
      await nodes.close();
      await webhook.close();
    },
  };
  return ground;
}

function isOf(object: unknown, id: string): boolean {
  return at(object, 'id') === id || at(object, 'message_id') === id;
}
