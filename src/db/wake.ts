import { randomUUID } from 'node:crypto';
import type { Log } from '../log.ts';
import { isConnectionLost, type Sql } from './pool.ts';

const TOPICS = ['outbox', 'deliveries', 'probes', 'stops'] as const;
export type Topic = (typeof TOPICS)[number];

/** A hint that there is work: at once inside this process, by NOTIFY to the others. Polling is what one relies on. */
export interface Wake {
  (topic: Topic): void;
  on(topic: Topic, run: () => void): void;
  close(): Promise<void>;
}

const CHANNEL = 'telltale_wake';
// NOTIFY takes a lock that every committing transaction with a NOTIFY shares; outside transactions and at most 20 a
// second it is not measurable, inside each transaction it cost two thirds of the commit throughput.
const GAP_MS = 50;

/** For a process that works on nothing itself. */
export async function hint(sql: Sql, topic: Topic): Promise<void> {
  await sql.notify(CHANNEL, `elsewhere ${topic}`);
}

export async function startWake(deps: { readonly sql: Sql; readonly log: Log }): Promise<Wake> {
  const { sql, log } = deps;
  const self = randomUUID().slice(0, 8);
  const listeners = new Map<Topic, (() => void)[]>();
  const pending = new Map<Topic, NodeJS.Timeout>();
  let closed = false;

  const tell = (topic: Topic): void => {
    for (const run of listeners.get(topic) ?? []) run();
  };
  const notify = async (topic: Topic): Promise<void> => {
    pending.delete(topic);
    if (closed) return;
    try {
      await sql.notify(CHANNEL, `${self} ${topic}`);
    } catch (error) {
      if (!isConnectionLost(error)) log.warn({ err: error, topic }, 'wake.notify_failed');
    }
  };
  const subscription = await sql.listen(CHANNEL, (payload) => {
    const [from, name] = payload.split(' ');
    const topic = TOPICS.find((known) => known === name);
    if (from !== self && topic !== undefined) tell(topic);
  });

  const wake = (topic: Topic): void => {
    tell(topic);
    if (closed || pending.has(topic)) return;
    pending.set(topic, setTimeout(() => void notify(topic), GAP_MS).unref());
  };
  return Object.assign(wake, {
    on(topic: Topic, run: () => void): void {
      listeners.set(topic, [...(listeners.get(topic) ?? []), run]);
    },
    async close(): Promise<void> {
      closed = true;
      for (const timer of pending.values()) clearTimeout(timer);
      listeners.clear();
      await subscription.unlisten().catch(() => {});
    },
  });
}
