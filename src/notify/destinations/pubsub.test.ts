import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { destinationContract, sampleParcel } from '../../../test/support/destination-contract.ts';
import { everyTopic, published, pubsubError } from '../../../test/support/pubsub-wire.ts';
import {
  type Behaviour,
  inTurn,
  type Received,
  type Receiver,
  startReceiver,
  status,
} from '../../../test/support/receiver.ts';
import { startTokenEndpoint, type TokenEndpoint } from '../../../test/support/token-endpoint.ts';
import { makePubsub, type Pubsub, type PubsubDeps } from './pubsub.ts';

const TOPIC = 'projects/my-project/topics/tracking';

destinationContract('a Pub/Sub topic', {
  make(place, options) {
    const destination = makePubsub({ credentialsFile: null, emulator: place, ...options });
    return { destination, address: TOPIC, close: () => destination.close() };
  },
  yes: everyTopic,
  read(request) {
    const { data, attributes } = published(request);
    return { id: attributes.id ?? '', bytes: data, encoding: attributes.content_encoding };
  },
  malformed: ['', 'tracking', 'projects/my-project/subscriptions/tracking', 'projects/my-project/topics/googly'],
  secrets: [],
});

interface Context {
  after(release: () => Promise<void>): void;
}

interface Ground {
  readonly google: Receiver;
  readonly pubsub: Pubsub;
}

async function ground(context: Context, deps: Pick<PubsubDeps, 'deadlineMs'> = {}): Promise<Ground> {
  const google = await startReceiver();
  google.behave(everyTopic);
  const pubsub = makePubsub({ credentialsFile: null, emulator: `127.0.0.1:${google.port}`, ...deps });
  context.after(async () => {
    await pubsub.close();
    await google.close();
  });
  return { google, pubsub };
}

describe('a message', () => {
  it('goes to its topic, with what a receiver can sort by', async (t) => {
    const { google, pubsub } = await ground(t);
    const parcel = sampleParcel('projects/example.com:shop/topics/a+b%c');
    assert.equal((await pubsub.attempt(parcel)).kind, 'ok');
    const [request] = google.received;
    assert.equal(request?.path, '/v1/projects/example.com%3Ashop/topics/a%2Bb%25c:publish');
    assert.equal(request.headers.authorization, undefined);
    const { attributes, orderingKey } = published(request);
    assert.deepEqual(attributes, {
      id: parcel.id,
      type: 'message.opened',
      application_id: parcel.about.applicationId,
      grant_id: parcel.about.grantId,
    });
    assert.equal(orderingKey, parcel.about.messageId);
  });

  it('is ordered by its grant where it is about no message', async (t) => {
    const { google, pubsub } = await ground(t);
    const parcel = sampleParcel(TOPIC);
    await pubsub.attempt({ ...parcel, about: { ...parcel.about, trigger: 'grant.expired', messageId: null } });
    assert.equal(published(google.received[0]).orderingKey, parcel.about.grantId);
  });

  it('has an ordering key that Google takes, however long the id of its message is', async (t) => {
    const { google, pubsub } = await ground(t);
    const { about } = sampleParcel(TOPIC);
    const ids = ['ü'.repeat(512), `${'ü'.repeat(512)}a`, `${'ü'.repeat(512)}b`, `${'ü'.repeat(512)}a`];
    for (const messageId of ids) await pubsub.attempt(sampleParcel(TOPIC, { about: { ...about, messageId } }));
    const [whole, ...others] = google.received.map((request) => published(request).orderingKey);
    assert.equal(whole, ids[0]);
    assert.ok(others.every((key) => /^[0-9a-f]{64}$/.test(key)));
    assert.deepEqual(
      others.map((key) => others.indexOf(key)),
      [0, 1, 0],
    );
  });

  it('is not delivered by a 200 that is not Pub/Sub’s', async (t) => {
    const { google, pubsub } = await ground(t);
    for (const behaviour of [status(200, {}, '<p>Sign in</p>'), status(200, {}, '{}'), status(204)]) {
      google.behave(behaviour);
      const { kind, status: code, answer } = await pubsub.attempt(sampleParcel(TOPIC));
      assert.deepEqual([kind, code], ['closed', null]);
      assert.match(answer, /^a 20[04] came that is no answer of Pub\/Sub$/);
    }
  });
});

describe('what is asked of a topic', () => {
  const asked = (permissions: object, topic: Behaviour): Behaviour => {
    const allowed: Behaviour = (_request, response) => void response.writeHead(200).end(JSON.stringify(permissions));
    return (request, response) => {
      const behaviour = request.path.endsWith(':testIamPermissions') ? allowed : topic;
      behaviour(request, response);
    };
  };
  const there = status(200, {}, JSON.stringify({ name: TOPIC }));
  const gone = pubsubError(404, 'NOT_FOUND', 'Resource not found (resource=tracking).');
  const hidden = pubsubError(403, 'PERMISSION_DENIED', 'User not authorized to perform this action.');
  const ROLE = 'its account needs the role roles/pubsub.publisher on it';

  for (const [what, behaviour, problem] of [
    ['we may publish', asked({ permissions: ['pubsub.topics.publish'] }, gone), null],
    ['it is not there', asked({}, gone), 'the topic does not exist'],
    ['we may only look', asked({}, there), `this service may not publish to the topic: ${ROLE}`],
    [
      'we may not even look',
      asked({}, hidden),
      `the topic does not exist, or this service may not publish to the topic: ${ROLE}`,
    ],
    [
      'the API is off',
      pubsubError(403, 'PERMISSION_DENIED', 'Cloud Pub/Sub API has not been used.'),
      'Pub/Sub answered 403: Cloud Pub/Sub API has not been used.',
    ],
    ['an emulator knows it', emulated(there), null],
    ['an emulator does not know it', emulated(gone), 'the topic does not exist'],
    ['an emulator is ill', emulated(status(500, {}, 'oh')), 'Pub/Sub answered 500'],
  ] as const) {
    it(`tells that ${what}, and publishes nothing`, async (t) => {
      const { google, pubsub } = await ground(t);
      google.behave(behaviour, 'everything');
      assert.equal(await pubsub.verify(TOPIC), problem);
      assert.ok(google.received.every(({ path }) => !path.endsWith(':publish')));
    });
  }

  function emulated(topic: Behaviour): Behaviour {
    return (request, response) => {
      const unimplemented = pubsubError(501, 'UNIMPLEMENTED', '');
      const behaviour = request.path.endsWith(':testIamPermissions') ? unimplemented : topic;
      behaviour(request, response);
    };
  }
});

describe('Google’s own service', () => {
  it('gets a token, and another when it refuses one', async (t) => {
    const { google, pubsub, endpoint } = await withTokens(t);
    assert.equal((await pubsub.attempt(sampleParcel(TOPIC))).kind, 'ok');
    google.behave(inTurn(pubsubError(401, 'UNAUTHENTICATED', 'Invalid credentials.'), everyTopic));
    assert.equal((await pubsub.attempt(sampleParcel(TOPIC))).kind, 'ok');
    assert.deepEqual(google.received.map(bearerOf), ['Bearer token-1', 'Bearer token-1', 'Bearer token-2']);
    assert.equal(endpoint.asked.length, 2);
  });

  it('is not asked for ever when it refuses every token', async (t) => {
    const { google, pubsub } = await withTokens(t);
    google.behave(pubsubError(401, 'UNAUTHENTICATED', 'Invalid credentials.'));
    const { kind, status: code, answer } = await pubsub.attempt(sampleParcel(TOPIC));
    assert.deepEqual([kind, code], ['status', 401]);
    assert.match(answer, /Invalid credentials/);
    assert.deepEqual(google.received.map(bearerOf), ['Bearer token-1', 'Bearer token-2']);
  });

  it('gets nothing where no token can be had, and the answer says why without a secret', async (t) => {
    const { google, pubsub, endpoint } = await withTokens(t);
    endpoint.answer = (response) =>
      reply(response, 401, { error: 'invalid_client', error_description: `who is ${SUBJECT}?` });
    const outcome = await pubsub.attempt(sampleParcel(TOPIC));
    const why = 'no access token for Google: the token endpoint answered 401 (invalid_client)';
    assert.deepEqual(outcome, { kind: 'refused', status: null, answer: why, retryAfter: null });
    assert.equal(await pubsub.verify(TOPIC), why);
    assert.equal(google.received.length, 0);
  });

  it('is given up in time where the token endpoint stalls', async (t) => {
    const { google, pubsub, endpoint } = await withTokens(t, 300);
    endpoint.answer = () => {};
    const began = performance.now();
    const { kind } = await pubsub.attempt(sampleParcel(TOPIC));
    assert.equal(kind, 'timeout');
    assert.ok(performance.now() - began < 2_000);
    assert.equal(google.received.length, 0);
  });
});

const SUBJECT = 'the-subject-token-that-is-a-secret';

/** Workload identity federation towards a token endpoint of the test, and a Google that takes what it gives. */
async function withTokens(
  context: Context,
  deadlineMs = 10_000,
): Promise<Ground & { readonly endpoint: TokenEndpoint }> {
  const folder = await mkdtemp(join(tmpdir(), 'tt-pubsub-'));
  const google = await startReceiver();
  google.behave(everyTopic);
  const endpoint = await startTokenEndpoint();
  let given = 0;
  endpoint.answer = (response) => {
    given++;
    reply(response, 200, { access_token: `token-${given}`, token_type: 'Bearer', expires_in: 3600 });
  };
  const credentialsFile = join(folder, 'credentials.json');
  await writeFile(join(folder, 'subject'), SUBJECT);
  await writeFile(
    credentialsFile,
    JSON.stringify({
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: endpoint.login().tokenUrl,
      credential_source: { file: join(folder, 'subject') },
    }),
  );
  const pubsub = makePubsub({ credentialsFile, emulator: null, origin: google.origin, deadlineMs });
  context.after(async () => {
    await pubsub.close();
    await google.close();
    await endpoint.close();
    await rm(folder, { recursive: true });
  });
  return { google, pubsub, endpoint };
}

function reply(response: ServerResponse, code: number, answer: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}

function bearerOf(request: Received): string | undefined {
  return request.headers.authorization;
}
