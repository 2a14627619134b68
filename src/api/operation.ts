// What a route says of itself: its handler reads its parameters by it, the OpenAPI document tells it, tests hold every
// answer against it.
import { type TSchema, Type } from '@sinclair/typebox';
import type { Parameters } from './query.ts';

export const TAGS = {
  Messages: 'Sending mail with tracking, and reading it.',
  Drafts: 'Mail that waits to be sent, also in the Drafts folder of its mailbox.',
  Threads: 'Conversations that a tracked message began or belongs to.',
  Grants: 'Connected mailboxes.',
  Webhooks: 'Where events are told by HTTP.',
  'Pub/Sub channels': 'Where events are told by Google Cloud Pub/Sub.',
  Notifications: 'What was told: our own addition to v3.',
  Application: 'The application that an API key belongs to.',
} as const;

/** What names in paths stand for. */
export const GRANT = { identifier: 'A grant: its id, its address, or grant:<id>, email:<address>.' };

export const IDEMPOTENCY_KEY = {
  'Idempotency-Key': Type.String({
    minLength: 1,
    maxLength: 256,
    description: 'A repeated request with the same key is answered as the first one was, for an hour.',
  }),
};

export interface Operation {
  /** Unique among all routes. */
  readonly id: string;
  readonly tag: keyof typeof TAGS;
  /** One line. */
  readonly summary: string;
  readonly description?: string;
  /** What the names in the path stand for. */
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Parameters;
  /** Request headers besides Authorization, by their names. */
  readonly headers?: Readonly<Record<string, TSchema>>;
  /** What bodies are checked against; where the route's own schema has one already it is left out here. */
  readonly body?: TSchema;
  /** A body, for people. */
  readonly example?: object;
  /** The body may be left out. */
  readonly bodyIsOptional?: boolean;
  /** Beside JSON the body may come as multipart/form-data: a part `message` with the JSON, files in the others. */
  readonly multipart?: boolean;
  /** Whole bodies of the successes, by status. */
  readonly answers: Readonly<Record<number, TSchema>>;
  /** Statuses of refusals besides those that every route has (openapi-answers.ts). */
  readonly refusals?: readonly number[];
}

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly operation?: Operation;
  }
}

interface RouteOptions {
  readonly schema?: object;
  readonly config?: object;
}

interface OperationOptions {
  readonly schema: { readonly body?: TSchema };
  readonly config: { readonly operation: Operation };
}

/** The options of a route that says this of itself. */
export function operation(told: Operation): OperationOptions {
  return withOperation({}, told);
}

/** These options of a route, and what it says of itself. */
export function withOperation<O extends RouteOptions>(options: O, told: Operation): O & OperationOptions {
  return {
    ...options,
    schema: { ...options.schema, ...(told.body !== undefined && { body: told.body }) },
    config: { ...options.config, operation: told },
  };
}
