import type { Fact } from '../db/outbox.ts';
import type { Tx } from '../db/pool.ts';
import { storedSettings } from '../grants/settings.ts';
import { namesOfFact } from './triggers.ts';

/** A destination that wants some of the facts at hand. */
export interface Subscriber {
  readonly app: number;
  readonly id: string;
  readonly triggers: readonly string[];
  readonly status: string;
  /** Of its application, as stored. */
  readonly settings: unknown;
}

/** Locked against deletion: a delivery to a deleted destination would stay behind for ever. */
export async function readSubscribers(tx: Tx, facts: readonly Fact[]): Promise<Subscriber[]> {
  const apps = [...new Set(facts.map((fact) => fact.app))];
  const triggers = [...new Set(facts.map((fact) => fact.trigger))].flatMap(namesOfFact);
  return tx<Subscriber[]>`
    select d.app, d.id, d.triggers, d.status, a.settings
    from destinations d join applications a on a.serial = d.app
    where d.app = any(${apps}) and d.triggers && ${triggers}
    order by d.app, d.id
    for key share of d`;
}

/** Who of an application is told something under a name. */
export type Audience = (app: number, trigger: string) => readonly Subscriber[];

export function audienceOf(subscribers: readonly Subscriber[]): Audience {
  const byName = new Map<string, Subscriber[]>();
  for (const subscriber of subscribers) {
    for (const trigger of new Set(subscriber.triggers)) {
      const name = `${subscriber.app} ${trigger}`;
      const others = byName.get(name);
      if (others === undefined) byName.set(name, [subscriber]);
      else others.push(subscriber);
    }
  }
  return (app, trigger) => byName.get(`${app} ${trigger}`) ?? NOBODY;
}

const NOBODY: readonly Subscriber[] = [];

/** The most notifications per minute, message and trigger that an application wants. */
export function guardOf(subscribers: readonly Subscriber[]): (app: number) => number {
  const most = new Map(subscribers.map((row) => [row.app, storedSettings(row.settings).maxNotificationsPerMinute]));
  return (app) => most.get(app) ?? Number.POSITIVE_INFINITY;
}
