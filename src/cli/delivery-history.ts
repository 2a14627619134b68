// What a webhook or Pub/Sub channel got and what it did not, attempt by attempt.
import { attemptToWire, deliveryToWire } from '../api/history-wire.ts';
import { fromWireId, uuidTime, wireId } from '../ids.ts';
import {
  type Attempt,
  DELIVERY_STATES,
  type Delivery,
  type DeliveryOrder,
  listDeliveries,
  readDelivery,
} from '../notify/delivery-list.ts';
import { type Command, count, UsageError } from './command.ts';
import { readOne, readPairs } from './pairs.ts';
import { facts, table } from './table.ts';
import { noDelivery, rangeOf, theDestination } from './webhook.ts';

const LISTED = ['state', 'since', 'until', 'triggers', 'limit', 'before'] as const;
const MOST_LISTED = 10_000;
const ANSWER_SHOWN = 200;

export const webhookDeliveries: Command = {
  words: ['webhook', 'deliveries'],
  usage: 'WEBHOOK [state=… since=… until=… triggers=… limit=… before=…]',
  summary: 'what it got and what it did not, newest first',
  check(input) {
    count(1, 1 + LISTED.length)(input);
    listOrder(input.slice(1));
  },
  async run({ sql }, [name = '', ...words]) {
    const { app, id } = await theDestination(sql, name);
    const order = listOrder(words);
    const items: Delivery[] = [];
    let next: string | null | undefined = order.before;
    do {
      const page = await listDeliveries(sql, app, id, { ...order, limit: order.limit - items.length, before: next });
      items.push(...page.items);
      next = page.next;
    } while (next !== null && items.length < order.limit);
    const listed = table(
      ['NOTIFICATION', 'TRIGGER', 'MADE', 'STATE', 'ROUND', 'ATTEMPTS', 'LAST OUTCOME', 'LAST ATTEMPT', 'NEXT ATTEMPT'],
      items.map(({ notificationId, trigger, state, round, attempts, nextAttemptAt, lastAttempt }) => [
        wireId('ntf', notificationId),
        trigger ?? '',
        new Date(uuidTime(notificationId)).toISOString(),
        state,
        String(round),
        String(attempts),
        lastAttempt === null ? '' : outcomeOf(lastAttempt),
        lastAttempt?.startedAt.toISOString() ?? '',
        nextAttemptAt?.toISOString() ?? '',
      ]),
      'There are no such deliveries.',
    );
    return { json: items.map(deliveryToWire), text: next === null ? listed : `${listed}\n${goOn(name, words, next)}` };
  },
};

export const webhookAttempts: Command = {
  words: ['webhook', 'attempts'],
  usage: 'WEBHOOK NOTIFICATION',
  summary: 'every attempt of one delivery, oldest first, with what was answered',
  check: count(2),
  async run({ sql }, [name = '', notification = '']) {
    const { app, id } = await theDestination(sql, name);
    const notificationId = fromWireId('ntf', notification);
    const found = notificationId === null ? null : await readDelivery(sql, app, id, notificationId);
    if (found === null) throw noDelivery(name, notification);
    const { delivery, attempts } = found;
    return {
      json: { ...deliveryToWire(delivery), attempts: attempts.map(attemptToWire) },
      text: [
        facts([
          ['trigger', delivery.trigger ?? ''],
          ['state', delivery.state],
          ['next attempt', delivery.nextAttemptAt?.toISOString() ?? ''],
        ]),
        table(
          ['ROUND', 'ATTEMPT', 'STARTED', 'MS', 'OUTCOME', 'ANSWER'],
          attempts.map(({ round, attempt, startedAt, durationMs, answer, ...one }) => [
            String(round),
            String(attempt),
            startedAt.toISOString(),
            String(durationMs),
            outcomeOf(one),
            answer.length > ANSWER_SHOWN ? `${answer.slice(0, ANSWER_SHOWN)}…` : answer,
          ]),
          'There was no attempt yet.',
        ),
      ].join('\n\n'),
    };
  },
};

function outcomeOf({ outcome, status }: Pick<Attempt, 'outcome' | 'status'>): string {
  return status === null ? outcome : `${outcome} ${status}`;
}

/** What to type for the rows after these. */
function goOn(name: string, words: readonly string[], next: string): string {
  const kept = words.filter((word) => !word.startsWith('before='));
  const call = ['webhook', 'deliveries', name, ...kept, `before=${wireId('ntf', next)}`].join(' ');
  return `\nThere are more: ${call}`;
}

function listOrder(words: readonly string[]): DeliveryOrder {
  const { state, before, limit = '50', ...range } = readPairs(words, LISTED);
  if (!/^\d{1,5}$/.test(limit) || Number(limit) < 1 || Number(limit) > MOST_LISTED) {
    throw new UsageError(`limit must be a whole number from 1 to ${MOST_LISTED}.`);
  }
  return {
    limit: Number(limit),
    before: before === undefined ? undefined : readBefore(before),
    state: state === undefined ? undefined : readOne(state, DELIVERY_STATES),
    ...rangeOf(range),
  };
}

function readBefore(text: string): string {
  const id = fromWireId('ntf', text);
  if (id === null) throw new UsageError(`"${text}" is not the id of a notification.`);
  return id;
}
