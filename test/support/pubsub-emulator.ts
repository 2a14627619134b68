// Google's own Pub/Sub emulator, where its jar and a Java are on this machine.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { portForServer, startDaemons } from './daemons.ts';
import type { PubsubMessage } from './pubsub-wire.ts';
import { eventually } from './service.ts';

export interface PubsubEmulator {
  /** As in PUBSUB_EMULATOR_HOST. */
  readonly host: string;
  createTopic(topic: string): Promise<void>;
  deleteTopic(topic: string): Promise<void>;
  /** Sees what is published from now on. */
  subscribe(topic: string, name: string): Promise<Subscription>;
  close(): Promise<void>;
}

/** Messages with one ordering key come in the order in which they were published. */
export interface Subscription {
  /** The next `count`, each acknowledged as it comes. */
  take(count: number, withinMs?: number): Promise<readonly PubsubMessage[]>;
}

const SDKS = ['/usr/lib/google-cloud-sdk', '/opt/google-cloud-sdk', '/snap/google-cloud-cli/current'];

/** Why there can be no emulator here, or false: made for the `skip` of a suite. */
export function noPubsubEmulator(): string | false {
  if (findJar() === null) return 'google-cloud-cli-pubsub-emulator is not on this machine';
  return findJava() === null ? 'there is no java on this machine to run the Pub/Sub emulator' : false;
}

/** Ready when it resolves: 2 s. It ends with this process, should `close` not be called. */
export async function startPubsubEmulator(): Promise<PubsubEmulator> {
  const [jar, java] = [findJar(), findJava()];
  assert.ok(jar !== null && java !== null);
  const folder = await mkdtemp(join(tmpdir(), 'tt-pubsub-emulator-'));
  const host = `127.0.0.1:${await portForServer()}`;
  const [address = '', port = ''] = host.split(':');
  const daemons = startDaemons(folder, [
    [
      java,
      `-Djava.io.tmpdir=${folder}`,
      '-Xmx256m',
      '-XX:TieredStopAtLevel=1',
      '-jar',
      jar,
      `--host=${address}`,
      `--port=${port}`,
    ],
  ]);
  const call = async (method: string, name: string, body?: object, signal?: AbortSignal): Promise<unknown> => {
    const path = name.split('/').map(encodeURIComponent).join('/').replaceAll('%3A', ':');
    const answer = await fetch(`http://${host}/v1/${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${method} ${name}: ${text}`);
    return JSON.parse(text);
  };
  await eventually('the Pub/Sub emulator answers', async () => {
    const problem = daemons.gone();
    if (problem !== null) throw new Error(problem);
    return await fetch(`http://${host}`).then(
      async (answer) => (await answer.text()).length >= 0,
      () => undefined,
    );
  });

  return {
    host,
    createTopic: async (topic) => void (await call('PUT', topic, {})),
    deleteTopic: async (topic) => void (await call('DELETE', topic)),
    async subscribe(topic, name) {
      const path = topic.replace(/\/topics\/.*/, `/subscriptions/${name}`);
      await call('PUT', path, { topic, enableMessageOrdering: true, ackDeadlineSeconds: 60 });
      const pull = async (withinMs: number): Promise<readonly Pulled[]> => {
        const pulled = call('POST', `${path}:pull`, { maxMessages: 100 }, AbortSignal.timeout(withinMs));
        const { receivedMessages = [] } = (await pulled.catch(nothingInTime)) as { receivedMessages?: Pulled[] };
        return receivedMessages;
      };
      return {
        async take(count, withinMs = 15_000) {
          const deadline = performance.now() + withinMs;
          const taken: PubsubMessage[] = [];
          while (taken.length < count) {
            const left = Math.ceil(deadline - performance.now());
            assert.ok(left > 0, `${taken.length} of ${count} messages came within ${withinMs} ms`);
            const pulled = await pull(left);
            if (pulled.length === 0) continue;
            await call('POST', `${path}:acknowledge`, { ackIds: pulled.map(({ ackId }) => ackId) });
            taken.push(
              ...pulled.map(({ message: { data = '', attributes = {}, orderingKey = '' } }) => ({
                data: Buffer.from(data, 'base64'),
                attributes,
                orderingKey,
              })),
            );
          }
          assert.equal(taken.length, count);
          return taken;
        },
      };
    },
    close: () => daemons.close(),
  };
}

interface Pulled {
  readonly ackId: string;
  readonly message: {
    readonly data?: string;
    readonly attributes?: Record<string, string>;
    readonly orderingKey?: string;
  };
}

function nothingInTime(error: unknown): object {
  if (error instanceof Error && error.name === 'TimeoutError') return {};
  throw error;
}

function findJar(): string | null {
  for (const sdk of SDKS) {
    const folder = join(sdk, 'platform/pubsub-emulator/lib');
    const jar = existsSync(folder) ? readdirSync(folder).find((file) => file.endsWith('-all.jar')) : undefined;
    if (jar !== undefined) return join(folder, jar);
  }
  return null;
}

function findJava(): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, 'java')).find((file) => existsSync(file)) ?? null;
}
