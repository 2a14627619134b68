// Webhooks and Pub/Sub channels: which there are, and sending to them again.
import { deliveryToWire } from '../api/history-wire.ts';
import type { Sql } from '../db/pool.ts';
import { hint } from '../db/wake.ts';
import { listApplications } from '../grants/applications.ts';
import { fromWireId } from '../ids.ts';
import { type DeliveryOrder, readDelivery } from '../notify/delivery-list.ts';
import { DESTINATION_KINDS } from '../notify/destination.ts';
import { nameOf } from '../notify/destination-rules.ts';
import { findDestination, type NamedDestination } from '../notify/named-destination.ts';
import { REPLAYABLE, type Refusal, replay, retryDelivery, type TimeRange } from '../notify/replay.ts';
import { listSubscriptions } from '../notify/subscriptions.ts';
import { TRIGGERS } from '../notify/triggers.ts';
import { theApplication } from './app.ts';
import { type Command, count, Refused, UsageError } from './command.ts';
import { readList, readPairs, readTime } from './pairs.ts';
import { table } from './table.ts';

const REPLAYED = ['since', 'until', 'states', 'triggers'] as const;

export const webhookList: Command = {
  words: ['webhook', 'list'],
  usage: '[APP]',
  summary: 'webhooks and Pub/Sub channels',
  check: count(0, 1),
  async run({ sql }, [name]) {
    const applications = name === undefined ? await listApplications(sql) : [await theApplication(sql, name)];
    const found = await Promise.all(
      applications.flatMap((application) =>
        DESTINATION_KINDS.map(async (kind) => {
          const listed = await listSubscriptions({ sql }, application.serial, kind);
          return listed.map((one) => ({ ...one, application, kind, id: nameOf(kind, one.id) }));
        }),
      ),
    );
    const rows = found.flat();
    return {
      json: rows.map(({ id, application, kind, status, address, triggers }) => ({
        id,
        application_id: application.id,
        type: kind,
        status,
        address,
        trigger_types: triggers,
      })),
      text: table(
        ['ID', 'APPLICATION', 'STATUS', 'ADDRESS', 'TRIGGERS'],
        rows.map(({ id, application, status, address, triggers }) => [
          id,
          application.name,
          status,
          address,
          triggers.join(','),
        ]),
        'There are no webhooks yet.',
      ),
    };
  },
};

export const webhookReplay: Command = {
  words: ['webhook', 'replay'],
  usage: 'WEBHOOK since=… [until=… states=… triggers=…]',
  summary: 'send again what is undelivered of a time',
  check(input) {
    count(1, 1 + REPLAYED.length)(input);
    replayOrder(input.slice(1));
  },
  async run({ sql }, [name = '', ...words]) {
    const { app, id } = await theDestination(sql, name);
    const order = replayOrder(words);
    let [queued, gone] = [0, 0];
    for (let after: string | null | undefined; after !== null; ) {
      const answer = await replay({ sql }, app, id, { ...order, after });
      if (answer.kind !== 'replayed') throw refused(name, answer);
      queued += answer.queued;
      gone += answer.gone;
      after = answer.next;
    }
    if (queued > 0) await hint(sql, 'probes');
    return {
      json: { id: name, queued, gone },
      text: `${queued} queued to be sent again.${gone === 0 ? '' : ` Of ${gone} what they told is gone.`}`,
    };
  },
};

export const webhookRetry: Command = {
  words: ['webhook', 'retry'],
  usage: 'WEBHOOK NOTIFICATION',
  summary: 'send this one now',
  check: count(2),
  async run({ sql }, [name = '', notification = '']) {
    const { app, id } = await theDestination(sql, name);
    const notificationId = fromWireId('ntf', notification);
    const retried = notificationId === null ? null : await retryDelivery({ sql }, app, id, notificationId);
    if (notificationId === null || retried === null || retried.kind === 'no_delivery')
      throw noDelivery(name, notification);
    if (retried.kind === 'gone') throw new Refused(`${notification} can no longer be sent: what it tells of is gone.`);
    if (retried.kind === 'unknown' || retried.kind === 'not_served') throw refused(name, retried);
    await hint(sql, 'probes');
    const found = await readDelivery(sql, app, id, notificationId);
    return {
      json: found === null ? null : deliveryToWire(found.delivery),
      text: retried.kind === 'under_way' ? 'It is being sent right now.' : 'It is sent within a second or two.',
    };
  },
};

/** By its wire id, of whichever application; refuses an unknown one. */
export async function theDestination(sql: Sql, name: string): Promise<NamedDestination> {
  const found = await findDestination(sql, name);
  if (found === null) throw new Refused(`There is no webhook "${name}"; see: webhook list`);
  return found;
}

export function noDelivery(name: string, notification: string): Refused {
  return new Refused(`Nothing called "${notification}" was or is to be delivered to ${name}.`);
}

function refused(name: string, refusal: Refusal): Refused {
  if (refusal.kind === 'unknown') return new Refused(`The webhook "${name}" has gone.`);
  return new Refused(`${name} is ${refusal.status}: activate it first, by its status in the API.`);
}

function replayOrder(words: readonly string[]): TimeRange {
  const { states, since, ...rest } = readPairs(words, REPLAYED);
  if (since === undefined) throw new UsageError('since=… is missing: from when on?');
  return {
    ...rangeOf(rest),
    since: readTime(since),
    states: states === undefined ? undefined : readList(states, REPLAYABLE),
  };
}

/** The words that choose among notifications. */
export function rangeOf({
  since,
  until,
  triggers,
}: Readonly<Partial<Record<'since' | 'until' | 'triggers', string>>>): Pick<
  DeliveryOrder,
  'since' | 'until' | 'triggers'
> {
  return {
    since: since === undefined ? undefined : readTime(since),
    until: until === undefined ? undefined : readTime(until),
    triggers: triggers === undefined ? undefined : readList(triggers, TRIGGERS),
  };
}
