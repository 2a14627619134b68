import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Type } from '@sinclair/typebox';
import { fastify } from 'fastify';
import { newDestination } from './destinations.ts';
import { wordOf } from './schemas/envelopes.ts';
import { fieldName, schemaProblem } from './validation.ts';

const Body = Type.Object(
  {
    to: Type.Array(Type.Object({ email: Type.String({ minLength: 1 }), name: Type.Optional(Type.String()) }), {
      minItems: 1,
    }),
    subject: Type.Optional(Type.String({ maxLength: 5 })),
    size: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
    starred: Type.Optional(Type.Boolean()),
    kind: Type.Optional(wordOf(['a', 'b'])),
    either: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
    metadata: Type.Optional(Type.Record(Type.String(), Type.String())),
    code: Type.Optional(Type.String({ pattern: '^[a-z]$' })),
    notification_email_addresses: newDestination.notification_email_addresses,
    tracking_options: Type.Optional(Type.Object({ opens: Type.Boolean() }, { additionalProperties: false })),
  },
  { additionalProperties: false },
);

const http = fastify({
  ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true } },
  schemaErrorFormatter: schemaProblem,
});
http.post('/', { schema: { body: Body } }, async () => ({ message: 'fine' }));

async function message(body: unknown): Promise<string> {
  const answer = await http.inject({
    method: 'POST',
    url: '/',
    payload: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  return String(Reflect.get(answer.json(), 'message'));
}

before(async () => await http.ready());

describe('schema problems', () => {
  const to = [{ email: 'kim@example.com' }];
  const cases: readonly (readonly [unknown, string])[] = [
    [{ to }, 'fine'],
    [{}, 'to is required'],
    [[], 'the request body must be an object'],
    [{ to: [] }, 'to must not be empty'],
    [{ to: 'kim@example.com' }, 'to must be a list'],
    [{ to: [{ email: 1 }] }, 'to[0].email must be a string'],
    [{ to: [{ email: 'a' }, {}] }, 'to[1].email is required'],
    [{ to: [{ email: '' }] }, 'to[0].email must not be empty'],
    [{ to, subject: '123456' }, 'subject must have at most 5 characters'],
    [{ to, size: '3' }, 'size must be a whole number'],
    [{ to, size: 0 }, 'size must be 1 or more'],
    [{ to, size: 10 }, 'size must be 9 or less'],
    [{ to, starred: 'true' }, 'starred must be true or false'],
    [{ to, kind: 'c' }, 'kind must be one of "a", "b"'],
    [{ to, kind: 1 }, 'kind must be one of "a", "b"'],
    [{ to, either: 1 }, 'either must be a string or a list'],
    [{ to, either: [1] }, 'either[0] must be a string'],
    [{ to, metadata: { 'a/b~c': 1 } }, 'metadata.a/b~c must be a string'],
    [{ to, code: 'A' }, 'code does not have the right form'],
    [
      { to, notification_email_addresses: ['kim.example.com'] },
      'notification_email_addresses[0] must be an e-mail address',
    ],
    [{ to, colour: 'red' }, 'colour is not a known field'],
    [{ to, tracking_options: { opens: true, clicks: true } }, 'tracking_options.clicks is not a known field'],
    [{ to: [{ email: 1 }], size: 'x' }, 'to[0].email must be a string; size must be a whole number'],
  ];
  for (const [body, told] of cases) {
    it(`${JSON.stringify(body)}: ${told}`, async () => assert.equal(await message(body), told));
  }

  it('are told ten at most', async () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`field${index}`, 1]));
    const told = await message({ to, ...many });
    assert.equal(told.split('; ').length, 11);
    assert.match(told, /; and 490 more problems$/);
  });

  it('tell a name that the caller made up only so far', async () => {
    assert.equal(await message({ to, ['x'.repeat(1e5)]: 1 }), `${'x'.repeat(200)}… is not a known field`);
  });

  it('write a path as people do', () => {
    assert.equal(fieldName(''), '');
    assert.equal(fieldName('/a/0/b/12'), 'a[0].b[12]');
    assert.equal(fieldName('/0'), '[0]');
    assert.equal(fieldName('/a~1b/c~0d'), 'a/b.c~d');
  });
});
