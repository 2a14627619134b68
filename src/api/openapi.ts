// The OpenAPI document, made from what the routes say of themselves. It holds all that lies below /v3.
import { readFileSync } from 'node:fs';
import swagger from '@fastify/swagger';
import type { TSchema } from '@sinclair/typebox';
import type { FastifySchema } from 'fastify';
import type { Http } from './http.ts';
import { answersOf, SHARED_HEADERS, SHARED_REFUSALS } from './openapi-answers.ts';
import { withComponents } from './openapi-components.ts';
import { type Operation, TAGS } from './operation.ts';

const PACKAGE = new URL('../../../package.json', import.meta.url);
const BELOW = '/v3/';
/** What names of bodies end in. */
export const BODY = 'Body';

/** To be called before the routes are added; after `http.ready()`, `http.swagger()` gives the document. */
export function describeRoutes(http: Http, publicUrl: string): void {
  const { version }: { version: string } = JSON.parse(readFileSync(PACKAGE, 'utf8'));
  const told = new Map<string, Operation>();
  http.register(swagger, {
    hideUntagged: false,
    convertConstToEnum: false,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Telltale',
        version,
        description:
          'The Nylas v3 API as far as e-mail tracking needs it. Every answer is a JSON object with `request_id`; its Content-Type is exactly `application/json`. Paths work with and without a slash at their end.',
      },
      servers: [{ url: publicUrl }],
      security: [{ apiKey: [] }],
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'An API key of the application.' },
        },
      },
    },
    transform({ schema, url, route }) {
      const { operation } = route.config ?? {};
      if (!url.startsWith(BELOW)) return { schema: { hide: true }, url };
      if (operation === undefined) return { schema: schema ?? {}, url };
      told.set(operation.id, operation);
      return { schema: schemaOf(operation, schema?.body), url };
    },
    transformObject(document) {
      if (!('openapiObject' in document)) throw new Error('the document is no OpenAPI document');
      const { openapiObject } = document;
      const paths = Object.entries(openapiObject.paths ?? {}).map(([path, methods]) => [
        path,
        Object.fromEntries(
          Object.entries(methods ?? {}).map(([method, inDocument]) => [
            method,
            withAnswers(method, path, Object(inDocument), told),
          ]),
        ),
      ]);
      const components = { ...openapiObject.components, headers: SHARED_HEADERS, responses: SHARED_REFUSALS };
      return withComponents({ ...openapiObject, components, paths: Object.fromEntries(paths) });
    },
  });
}

function schemaOf(told: Operation, body: unknown): FastifySchema {
  const { id, tag, summary, description, params = {}, query = {}, headers, answers } = told;
  const queries = Object.entries(query).map(([name, { schema }]) => [name, schema]);
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(Object.keys(params).length > 0 && { params: objectOf(Object.entries(params).map(parameterOf)) }),
    ...(queries.length > 0 && { querystring: objectOf(queries) }),
    ...(headers !== undefined && { headers: objectOf(Object.entries(headers)) }),
    ...(body !== undefined && { body: { ...Object(body), title: bodyName(id) } }),
    response: answers,
  };
}

/** sendMessage: SendMessageBody. */
function bodyName(id: string): string {
  return `${id.slice(0, 1).toUpperCase()}${id.slice(1)}${BODY}`;
}

function parameterOf([name, description]: readonly [string, string]): readonly [string, object] {
  return [name, { type: 'string', description }];
}

function objectOf(properties: readonly (readonly unknown[])[]): object {
  return { type: 'object', properties: Object.fromEntries(properties) };
}

interface InDocument {
  readonly operationId?: string;
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: TSchema }>> };
}

/** What the plugin does not know of: refusals, headers of answers, multipart bodies. */
function withAnswers(
  method: string,
  path: string,
  inDocument: InDocument,
  told: ReadonlyMap<string, Operation>,
): object {
  const operation = told.get(inDocument.operationId ?? '');
  if (operation === undefined) return inDocument;
  const json = inDocument.requestBody?.content['application/json'];
  return {
    ...inDocument,
    ...(json !== undefined && {
      requestBody: {
        required: operation.bodyIsOptional !== true,
        content: {
          'application/json': { ...json, ...(operation.example !== undefined && { example: operation.example }) },
          ...(operation.multipart === true && { 'multipart/form-data': multipartOf(json.schema) }),
        },
      },
    }),
    responses: answersOf({ method, path, operation }),
  };
}

/** As the SDKs write it (contract 5.2). */
function multipartOf(schema: TSchema): object {
  return {
    schema: {
      type: 'object',
      required: ['message'],
      properties: { message: schema },
      additionalProperties: {
        contentMediaType: 'application/octet-stream',
        description:
          'A file. It may be called attachment, or file with a number such as file0; any other name is its content_id, which makes it inline.',
      },
    },
    encoding: { message: { contentType: 'application/json' } },
  };
}
