// What every answer of the API has to keep to: the headers and envelopes of contract 7, and what the OpenAPI document
// says of its route.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { type Document, findOperation, type JsonSchema, resolved } from './openapi-document.ts';

export interface Answered {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly status: number;
  readonly header: (name: string) => string | null;
  readonly text: string;
}

/** Everything that is wrong with an answer, as sentences; none for a good one. */
export type AnswerRules = (answered: Answered) => readonly string[];

/** Ruby knows no other success (contract 7.5). */
const SUCCESSES = [200, 201, 202];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Null: without a document, by the headers and envelopes alone. */
export function makeAnswerRules(document: Document | null): AnswerRules {
  const matches = document === null ? () => [] : makeMatcher(document);
  return (answered) => {
    const { method, path, status, header, text } = answered;
    const type = header('content-type');
    const where = path.split('?', 1)[0]?.replace(/^\/+/, '/') ?? '';
    const isApi = where === '/v3' || where.startsWith('/v3/');
    const isJson = type?.includes('json') === true;
    if (!isApi && !isJson) return [];
    const found: string[] = [];
    if (type !== 'application/json') found.push(`its Content-Type is ${type}`);
    if (status < 400 && !SUCCESSES.includes(status)) found.push(`its status is ${status}`);
    if (where === '/openapi.json') return found;
    if (method === 'HEAD') return found;
    const body = parsed(text);
    if (!isObject(body)) return [...found, 'its body is no JSON object'];
    const id = Reflect.get(body, 'request_id');
    if (typeof id !== 'string' || !UUID.test(id)) found.push('it has no request_id');
    if (id !== header('x-request-id')) found.push('its request_id is not its x-request-id');
    if (status >= 400 && header('retry-after') !== null && !/^\d+$/.test(header('retry-after') ?? '')) {
      found.push(`its Retry-After is ${header('retry-after')}`);
    }
    if (status >= 400 ? Object.hasOwn(body, 'data') : Object.hasOwn(body, 'error'))
      found.push('it has an error and data');
    return [...found, ...matches(answered, body)];
  };
}

export function said({ method, path, status, text }: Answered, problems: readonly string[]): string {
  return `${method} ${path} answered ${status}: ${problems.join('; ')}\n    ${text.slice(0, 600)}`;
}

/** Holds the body against the schema of its route and status; members that the schema does not know are wrong too. */
function makeMatcher(document: Document): (answered: Answered, body: object) => readonly string[] {
  const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { uuid: UUID } });
  const strict = withoutOthers(document.components.schemas);
  const known = new Map<string, ReturnType<typeof ajv.compile>>();
  const refusal = ajv.compile({ $ref: '#/components/schemas/Error', components: { schemas: strict } });

  return ({ method, path, status }, body) => {
    const [where = '', query = ''] = path.split('?', 2);
    const found = findOperation(document, method, where);
    // A route that a test made for itself says nothing of itself; that no other does is tested elsewhere.
    if (found?.operation.operationId === undefined) {
      if (found === null && status < 400 && where.startsWith('/v3')) return ['the document has no such route'];
      return status < 400 || refusal(body) ? [] : [`it is no refusal: ${ajv.errorsText(refusal.errors)}`];
    }
    const answer = found.operation.responses[status];
    if (answer === undefined) return [`${found.operation.operationId} does not say that it answers ${status}`];
    const isWhole = !new URLSearchParams(query).has('select');
    const key = `${found.operation.operationId} ${status} ${isWhole}`;
    let check = known.get(key);
    if (check === undefined) {
      const { schema } = resolved(document, answer).content['application/json'];
      const components = { schemas: strict };
      check = ajv.compile({ ...Object(withoutOthers(isWhole ? withoutSelected(schema) : schema)), components });
      known.set(key, check);
    }
    return check(body) ? [] : [`it is not as the document says: ${ajv.errorsText(check.errors)}`];
  };
}

/** The same, but that objects have no members besides those that are told. */
function withoutOthers(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutOthers);
  if (!isObject(schema)) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, member]) => [name, withoutOthers(member)]));
  const closed = copy.type === 'object' && isObject(copy.properties) && copy.additionalProperties === undefined;
  return closed ? { ...copy, additionalProperties: false } : copy;
}

/** Without the branches that hold only where `select` was asked for. */
function withoutSelected(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.filter((branch) => !isSelected(branch)).map(withoutSelected);
  if (!isObject(schema)) return schema;
  return Object.fromEntries(Object.entries(schema).map(([name, member]) => [name, withoutSelected(member)]));
}

function isSelected(schema: JsonSchema): boolean {
  return isObject(schema) && /\/Selected\w+$/.test(String(Reflect.get(schema, '$ref')));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is object & Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
