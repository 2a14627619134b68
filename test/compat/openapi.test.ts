import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { operation } from '../../src/api/operation.ts';
import { integer, readQuery } from '../../src/api/query.ts';
import { answerOf } from '../../src/api/schemas/envelopes.ts';
import { startApi } from '../support/api.ts';
import { type Document, findOperation, operationsOf, resolved } from '../support/openapi-document.ts';
import { startWholeApi, type WholeApi } from '../support/whole-api.ts';

let api: WholeApi;
let document: Document;

before(async () => {
  api = await startWholeApi();
  document = JSON.parse(await (await fetch(`${api.url}/openapi.json`)).text());
});
after(async () => {
  await api.close();
});

describe('the OpenAPI document', () => {
  it('is served as JSON without a key, and to HEAD', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { status, headers } = await fetch(`${api.url}/openapi.json`, { method });
      assert.equal(status, 200);
      assert.equal(headers.get('content-type'), 'application/json');
      assert.ok(headers.get('x-request-id'));
    }
  });

  it('has the parts that OpenAPI 3.1 demands', () => {
    assert.equal(document.openapi, '3.1.0');
    assert.deepEqual(Object.keys(document.info).slice(0, 2), ['title', 'version']);
    const tags = new Set(document.tags.map(({ name }) => name));
    for (const { path, operation: told } of operationsOf(document)) {
      assert.match(path, /^\/v3\//);
      assert.match(told.operationId, /^[a-z][A-Za-z]+$/, path);
      assert.match(told.summary, /^[A-Z][^\n]{3,80}$/, told.operationId);
      assert.equal(told.tags.length, 1, told.operationId);
      for (const tag of told.tags) assert.ok(tags.has(tag), tag);
    }
  });

  it('has every operationId once', () => {
    const ids = operationsOf(document).map(({ operation: { operationId } }) => operationId);
    assert.deepEqual([...new Set(ids)], ids);
  });

  it('declares every parameter of a path, and none besides', () => {
    for (const { path, operation: told } of operationsOf(document)) {
      const declared = (told.parameters ?? []).filter((each) => each.in === 'path');
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(declared.map(({ name }) => name).sort(), named.sort(), path);
      for (const { required } of declared) assert.equal(required, true, path);
    }
  });

  it('has no reference that leads nowhere', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      ([, pointer = '']) => pointer,
    );
    assert.ok(references.length > 100);
    for (const pointer of new Set(references)) {
      const target = pointer.split('/').reduce<unknown>((inner, step) => Reflect.get(Object(inner), step), document);
      assert.equal(typeof target, 'object', pointer);
    }
  });

  it('uses every schema that it names', () => {
    const text = JSON.stringify(document);
    for (const name of Object.keys(document.components.schemas)) {
      assert.ok(text.includes(`"#/components/schemas/${name}"`), name);
    }
  });

  it('has schemas of JSON Schema 2020-12 only', () => {
    const ajv = new Ajv2020({ strict: true, strictRequired: false, validateFormats: false });
    ajv.addVocabulary(['example', 'components']);
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      assert.doesNotThrow(() => ajv.compile({ ...Object(schema), components: document.components }), name);
    }
    for (const { operation: told } of operationsOf(document)) {
      const bodies = Object.values(told.requestBody?.content ?? {}).map(({ schema }) => schema);
      const parameters = (told.parameters ?? []).map(({ schema }) => schema);
      const answers = Object.values(told.responses).map(
        (response) => resolved(document, response).content['application/json'].schema,
      );
      for (const schema of [...bodies, ...parameters, ...answers]) {
        const whole = { ...Object(schema), components: document.components };
        assert.doesNotThrow(() => ajv.compile(whole), `${told.operationId}: ${JSON.stringify(schema)}`);
      }
    }
  });

  it('tells of every route that can be refused, and how', () => {
    for (const { path, method, operation: told } of operationsOf(document)) {
      const statuses = Object.keys(told.responses).map(Number);
      assert.ok(statuses.some((status) => status < 300));
      for (const status of statuses) assert.notEqual(status, 204);
      for (const always of [400, 401, 429, 500, 503]) assert.ok(statuses.includes(always), `${path} ${always}`);
      if (method !== 'GET') for (const ofBodies of [413, 415]) assert.ok(statuses.includes(ofBodies), path);
    }
  });

  it('has an example that its schema takes wherever it has one', () => {
    const ajv = new Ajv2020({ strict: false });
    let count = 0;
    for (const { operation: told } of operationsOf(document)) {
      const json = Object(told.requestBody?.content['application/json']);
      if (json.example === undefined) continue;
      count += 1;
      const validate = ajv.compile({ ...json.schema, components: document.components });
      assert.ok(validate(json.example), `${told.operationId}: ${ajv.errorsText(validate.errors)}`);
    }
    assert.ok(count > 5);
  });

  it('tells of forms where files may come with the mail', () => {
    const withFiles = operationsOf(document).filter(
      ({ operation: told }) => told.requestBody?.content['multipart/form-data'] !== undefined,
    );
    assert.deepEqual(withFiles.map(({ operation: { operationId } }) => operationId).sort(), [
      'createDraft',
      'sendMessage',
      'updateDraft',
    ]);
  });

  it('holds every route of the server below /v3, and no other', () => {
    const served = api.routes;
    const told = operationsOf(document).map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`);
    assert.deepEqual(told.sort(), served.filter((route) => route.includes(' /v3/')).sort());
    assert.deepEqual(served.filter((route) => !route.includes(' /v3/') && !route.includes(' /practice')).sort(), [
      'GET /',
      'GET /docs',
      'GET /docs/docs.css',
      'GET /openapi.json',
      'GET /sign-in',
    ]);
  });

  it('is made of the very declarations that are read', async () => {
    const query = { many: integer({ min: 3, max: 7, fallback: 5 }, 'How many') };
    const own = await startApi(api.sql, [
      (http) =>
        http.get(
          '/v3/own',
          operation({ id: 'own', tag: 'Grants', summary: 'Own', query, answers: { 200: answerOf(query.many.schema) } }),
          async (request) => ({ request_id: request.id, data: readQuery(request, query).many }),
        ),
    ]);
    const { paths } = JSON.parse(await (await fetch(`${own.url}/openapi.json`)).text());
    const asked = await fetch(`${own.url}/v3/own?many=9`, { headers: { authorization: `Bearer ${api.key}` } });
    assert.match(await asked.text(), /many must be a whole number from 3 to 7/);
    assert.deepEqual(paths['/v3/own'].get.parameters, [
      {
        in: 'query',
        name: 'many',
        required: false,
        description: 'How many',
        schema: { type: 'integer', minimum: 3, maximum: 7, default: 5 },
      },
    ]);
    await own.close();
  });

  it('finds a written step before a parameter', () => {
    const find = (path: string): unknown => findOperation(document, 'GET', path)?.operation.operationId;
    assert.equal(find('/v3/webhooks/ip-addresses'), 'getIpAddresses');
    assert.equal(find('/v3/webhooks/wh_1/'), 'getWebhook');
    assert.equal(find('/v3/grants/a/messages/schedules'), 'listScheduledMessages');
    assert.equal(find('/v3/nothing'), undefined);
  });
});
