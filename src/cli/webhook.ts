// Webhooks and Pub/Sub channels: what they got and what they did not, and sending that again.
import { deliveryToWire } from '../api/history-wire.ts';
import type { Sql } from '../db/pool.ts';
import { fromWireId, uuidTime, wireId } from '../ids.ts';
import { DELIVERY_STATES, type DeliveryOrder, listDeliveries, readDelivery } from '../notify/delivery-list.ts';
import { DESTINATION_KINDS } from '../notify/destination.ts';
import { findDestination, type NamedDestination } from '../notify/named-destination.ts';
import { REST_STATES, type Refusal, replay, retryDelivery, type TimeRange } from '../notify/replay.ts';
import { listSubscriptions, nameOf } from '../notify/subscriptions.ts';
import { TRIGGERS } from '../notify/triggers.ts';
import { theApplication } from './app.ts';
import { type Command, count, Refused, UsageError } from './command.ts';
import { readList, readOne, readPairs, readTime } from './pairs.ts';
import { table } from './table.ts';

const LISTED = ['state', 'since', 'until', 'triggers', 'limit'] as const;
const REPLAYED = ['since', 'until', 'states', 'triggers'] as const;
const MOST_LISTED = 10_000;

export const webhookList: Command = {
  words: ['webhook', 'list'],
  usage: 'APP',
  summary: 'its webhooks and Pub/Sub channels',
  check: count(1),
  async run({ sql }, [name = '']) {
    const { serial } = await theApplication(sql, name);
    const found = await Promise.all(
      DESTINATION_KINDS.map(async (kind) =>
        (await listSubscriptions({ sql }, serial, kind)).map((one) => ({ ...one, kind, id: nameOf(kind, one.id) })),
      ),
    );
    const rows = found.flat();
    return {
      json: rows.map(({ id, kind, status, address, triggers }) => ({
        id,
        type: kind,
        status,
        address,
        trigger_types: triggers,
      })),
      text: table(
        ['ID', 'STATUS', 'ADDRESS', 'TRIGGERS'],
        rows.map(({ id, status, address, triggers }) => [id, status, address, triggers.join(',')]),
        'There are no webhooks yet.',
      ),
    };
  },
};

export const webhookDeliveries: Command = {
  words: ['webhook', 'deliveries'],
  usage: 'WEBHOOK [state=… since=… until=… triggers=… limit=…]',
  summary: 'what it got and what it did not, newest first',
  check(input) {
    count(1, 1 + LISTED.length)(input);
    listOrder(input.slice(1));
  },
  async run({ sql }, [name = '', ...words]) {
    const { app, id } = await theDestination(sql, name);
    const order = listOrder(words);
    const items = [];
    for (let before: string | null | undefined; before !== null && items.length < order.limit; ) {
      const page = await listDeliveries(sql, app, id, { ...order, limit: order.limit - items.length, before });
      items.push(...page.items);
      before = page.next;
    }
    return {
      json: items.map(deliveryToWire),
      text: table(
        ['NOTIFICATION', 'TRIGGER', 'MADE', 'STATE', 'ROUND', 'ATTEMPTS', 'NEXT ATTEMPT'],
        items.map(({ notificationId, trigger, state, round, attempts, nextAttemptAt }) => [
          wireId('ntf', notificationId),
          trigger ?? '',
          new Date(uuidTime(notificationId)).toISOString(),
          state,
          String(round),
          String(attempts),
          nextAttemptAt?.toISOString() ?? '',
        ]),
        'There are no such deliveries.',
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
    if (notificationId === null || retried === null || retried.kind === 'no_delivery') {
      throw new Refused(`Nothing called "${notification}" was or is to be delivered to ${name}.`);
    }
    if (retried.kind === 'gone') throw new Refused(`${notification} can no longer be sent: what it tells of is gone.`);
    if (retried.kind === 'unknown' || retried.kind === 'not_served') throw refused(name, retried);
    const found = await readDelivery(sql, app, id, notificationId);
    return {
      json: found === null ? null : deliveryToWire(found.delivery),
      text: retried.kind === 'under_way' ? 'It is being sent right now.' : 'It is sent within a second or two.',
    };
  },
};

async function theDestination(sql: Sql, name: string): Promise<NamedDestination> {
  const found = await findDestination(sql, name);
  if (found === null) throw new Refused(`There is no webhook "${name}"; see: webhook list`);
  return found;
}

function refused(name: string, refusal: Refusal): Refused {
  if (refusal.kind === 'unknown') return new Refused(`The webhook "${name}" has gone.`);
  return new Refused(`${name} is ${refusal.status}: activate it first, by its status in the API.`);
}

function listOrder(words: readonly string[]): DeliveryOrder {
  const { state, limit = '50', ...range } = readPairs(words, LISTED);
  if (!/^\d{1,5}$/.test(limit) || Number(limit) < 1 || Number(limit) > MOST_LISTED) {
    throw new UsageError(`limit must be a whole number from 1 to ${MOST_LISTED}.`);
  }
  return {
    limit: Number(limit),
    state: state === undefined ? undefined : readOne(state, DELIVERY_STATES),
    ...rangeOf(range),
  };
}

function replayOrder(words: readonly string[]): TimeRange {
  const { states, since, ...rest } = readPairs(words, REPLAYED);
  if (since === undefined) throw new UsageError('since=… is missing: from when on?');
  return {
    ...rangeOf(rest),
    since: readTime(since),
    states: states === undefined ? undefined : readList(states, REST_STATES),
  };
}

function rangeOf({
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
