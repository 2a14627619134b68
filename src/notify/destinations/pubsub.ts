// Google Cloud Pub/Sub by its REST interface, version 1.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Names } from '../../names.ts';
import { type GoogleCredentials, makeGoogleCredentials } from '../../providers/google-credentials.ts';
import { type FetchOutcome, makeSafeFetch, parsePublicUrl, type SafeFetch } from '../../safe-fetch.ts';
import { type Destination, type Outcome, type Parcel, toOutcome } from '../destination.ts';
import { parseTopic, pathOf, type Topic } from './topic.ts';

export interface PubsubDeps {
  /** Null: what the machine offers. */
  readonly credentialsFile: string | null;
  /** `host:port` of Google's emulator, spoken to in plain HTTP and without credentials; null for Google itself. */
  readonly emulator: string | null;
  readonly deadlineMs?: number;
  readonly names?: Names;
  /** Instead of Google's. */
  readonly origin?: string;
}

export interface Pubsub extends Destination {
  close(): Promise<void>;
}

const PUBSUB_HOST = 'pubsub.googleapis.com';
const DEADLINE_MS = 10_000;
const ANSWER_BYTES = 4_096;
const ORDERING_KEY_BYTES = 1_024; // Google's limit; what exceeds it is refused for ever
const PERMISSION = 'pubsub.topics.publish';
const UNIMPLEMENTED = 501; // the emulator's answer to every question about permissions
const ABOUT_TOPIC = new Set([401, 403, 404]);
const compress = promisify(gzip);

interface Server {
  readonly safeFetch: SafeFetch;
  readonly origin: string;
  /** Null where nobody asks for any. */
  readonly credentials: GoogleCredentials | null;
}

interface Call {
  readonly method: 'GET' | 'POST';
  readonly topic: Topic;
  /** What follows the topic in the path. */
  readonly verb: string;
  readonly body: Buffer | string | null;
  readonly deadline: Deadline;
}

interface Deadline {
  readonly ms: number;
  /** At least 1. */
  left(): number;
}

export function makePubsub(deps: PubsubDeps): Pubsub {
  const { credentialsFile, emulator, names, deadlineMs = DEADLINE_MS } = deps;
  const server: Server = {
    // No customer chooses where this leads: Google's own name may stand for a private address (Private Service Connect).
    safeFetch: makeSafeFetch({
      allowLoopback: true,
      allowPrivateTargets: { has: () => true },
      ...(names === undefined ? {} : { names }),
    }),
    origin: emulator === null ? (deps.origin ?? `https://${PUBSUB_HOST}`) : `http://${emulator}`,
    credentials: emulator === null ? makeGoogleCredentials({ credentialsFile, service: PUBSUB_HOST }) : null,
  };
  return {
    close: () => server.safeFetch.close(),
    check(address) {
      const topic = parseTopic(address);
      return 'problem' in topic ? topic : { normal: address };
    },
    async verify(address) {
      const topic = parseTopic(address);
      return 'problem' in topic ? `the topic ${topic.problem}` : await askFor(server, topic, startDeadline(deadlineMs));
    },
    async attempt(parcel) {
      const topic = parseTopic(parcel.address);
      if ('problem' in topic) return toOutcome({ kind: 'invalid_url', detail: `the topic ${topic.problem}` });
      const deadline = startDeadline(deadlineMs);
      const body = await messageOf(parcel);
      return outcomeOf(await call(server, { method: 'POST', topic, verb: ':publish', body, deadline }));
    },
  };
}

function orderingKey({ about }: Parcel): string {
  const key = about.messageId ?? about.grantId;
  // The id of mail that we did not send is as long as the name of its folder.
  return Buffer.byteLength(key) <= ORDERING_KEY_BYTES ? key : createHash('sha256').update(key).digest('hex');
}

/** As bytes: what hangs for ten seconds should keep no text beside them. */
async function messageOf(parcel: Parcel): Promise<Buffer> {
  const { id, body, compressed, about } = parcel;
  const data = compressed ? await compress(body) : body;
  const attributes = {
    id,
    type: about.trigger,
    application_id: about.applicationId,
    grant_id: about.grantId,
    ...(compressed ? { content_encoding: 'gzip' } : {}),
  };
  const message = { data: data.toString('base64'), attributes, orderingKey: orderingKey(parcel) };
  return Buffer.from(JSON.stringify({ messages: [message] }));
}

/** Anything but Pub/Sub's own words is no success, whatever its status: a delivery must not end with a proxy's page. */
function outcomeOf(outcome: FetchOutcome): Outcome {
  const isSaid = outcome.kind === 'ok' && Array.isArray(parse(outcome.body).get('messageIds'));
  if (isSaid || !('status' in outcome)) return toOutcome(outcome);
  if (outcome.status >= 300) return { ...toOutcome(outcome), isAboutAddress: ABOUT_TOPIC.has(outcome.status) };
  if (outcome.kind === 'too_large') return { ...toOutcome(outcome), status: null };
  return toOutcome({ kind: 'closed', detail: `a ${outcome.status} came that is no answer of Pub/Sub` });
}

/** Null where the topic is there and we may publish to it; nothing is published. */
async function askFor(server: Server, topic: Topic, deadline: Deadline): Promise<string | null> {
  const body = JSON.stringify({ permissions: [PERMISSION] });
  const asked = await call(server, { method: 'POST', topic, verb: ':testIamPermissions', body, deadline });
  const isAnswered = asked.kind === 'ok';
  if (!isAnswered && !('status' in asked && asked.status === UNIMPLEMENTED)) return problemOf(asked);
  const granted = isAnswered ? parse(asked.body).get('permissions') : undefined;
  if (Array.isArray(granted) && granted.includes(PERMISSION)) return null;
  // Google gives no permission on a topic that is not there either.
  const seen = await call(server, { method: 'GET', topic, verb: '', body: null, deadline });
  if ('status' in seen && seen.status === 404) return 'the topic does not exist';
  if (!isAnswered) return seen.kind === 'ok' ? null : problemOf(seen);
  const what = seen.kind === 'ok' ? '' : 'the topic does not exist, or ';
  return `${what}this service may not publish to the topic: its account needs the role roles/pubsub.publisher on it`;
}

function problemOf(outcome: FetchOutcome): string {
  if ('detail' in outcome) return outcome.detail;
  const message = Reflect.get(Object(parse(outcome.body).get('error')), 'message');
  return `Pub/Sub answered ${outcome.status}${typeof message === 'string' ? `: ${message}` : ''}`;
}

/** A token that is refused is renewed once: it may have been revoked, or its key replaced, before its time was over. */
async function call(server: Server, { method, topic, verb, body, deadline }: Call): Promise<FetchOutcome> {
  const url = parsePublicUrl(`${server.origin}/v1/${pathOf(topic)}${verb}`);
  if (typeof url === 'object') return { kind: 'invalid_url', detail: `the address of Pub/Sub ${url.problem}` };
  for (let isRenewed = false; ; isRenewed = true) {
    const access = await server.credentials?.access(deadline.left());
    if (access !== undefined && access.kind !== 'access') return access;
    const outcome = await server.safeFetch.request(url, {
      method,
      headers: { ...access?.headers, 'content-type': 'application/json', 'user-agent': 'Telltale' },
      ...(body === null ? {} : { body }),
      deadlineMs: deadline.left(),
      maxAnswerBytes: ANSWER_BYTES,
    });
    if (outcome.kind === 'timeout') {
      return { kind: 'timeout', detail: outcome.detail.replace(/within [\d.]+ s/, within(deadline)) };
    }
    if (access === undefined || !('status' in outcome) || outcome.status !== 401) return outcome;
    server.credentials?.drop(access.headers);
    if (isRenewed) return outcome;
  }
}

function within({ ms }: Deadline): string {
  return `within ${ms / 1000} s`;
}

function startDeadline(ms: number): Deadline {
  const end = performance.now() + ms;
  return { ms, left: () => Math.max(1, Math.ceil(end - performance.now())) };
}

/** The members of a JSON object; none for any other text. */
function parse(body: string): ReadonlyMap<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  } catch {
    return new Map();
  }
}
