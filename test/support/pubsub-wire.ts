// Pub/Sub's REST interface as a scripted far end sees and answers it.
import assert from 'node:assert/strict';
import type { Behaviour, Received } from './receiver.ts';

export interface PubsubMessage {
  readonly data: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
}

/** Every topic is there and ours to publish to. */
export const everyTopic: Behaviour = (request, response) => {
  const answer = request.path.endsWith(':testIamPermissions')
    ? { permissions: ['pubsub.topics.publish'] }
    : { messageIds: ['1'] };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
};

/** An error as Google writes it. */
export function pubsubError(code: number, status: string, message: string): Behaviour {
  return (_request, response) => {
    response.writeHead(code, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { code, message, status } }));
  };
}

/** The one message of a publish request. */
export function published(request: Received | undefined): PubsubMessage {
  assert.ok(request);
  assert.match(request.path, /:publish$/);
  assert.equal(request.headers['content-type'], 'application/json');
  const { messages, ...rest } = JSON.parse(request.body.toString('utf8'));
  assert.deepEqual(rest, {});
  assert.equal(messages.length, 1);
  const [{ data, attributes, orderingKey, ...more }] = messages;
  assert.deepEqual(more, {});
  assert.match(data, /^[A-Za-z0-9+/]+={0,2}$/);
  return { data: Buffer.from(data, 'base64'), attributes, orderingKey };
}
