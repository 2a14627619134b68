import type { FastifySchemaValidationError } from 'fastify';
import { ApiError } from '../errors.ts';

/** A request of 3 MB may be wrong in very many places. */
const MOST_PROBLEMS = 10;
const MOST_ERRORS = 1000;
/** What the schema of an e-mail address demands: told in words, since nobody should have to read a pattern. */
const EMAIL_ADDRESS = '^[^\\s@]+@[^\\s@]+$';
/** A name that a caller made up is told back this far. */
const LONGEST_NAME = 200;

/** All that a schema found wrong, as sentences that name the field: `to[0].email must be a string`. */
export function schemaProblem(errors: readonly FastifySchemaValidationError[]): ApiError {
  const problems = new Set<string>();
  const groups = byPath(errors.slice(0, MOST_ERRORS));
  for (const [path, group] of groups) {
    // A branch of a union was meant and its inside is wrong: that says more than which branches there are.
    if (isUnion(group) && [...groups.keys()].some((other) => other.startsWith(`${path}/`))) continue;
    for (const problem of groupProblems(path, group)) problems.add(problem);
  }
  const told = [...problems].slice(0, MOST_PROBLEMS);
  const rest = problems.size - told.length + Math.max(0, errors.length - MOST_ERRORS);
  const message = told.join('; ') + (rest > 0 ? `; and ${rest} more problems` : '');
  return new ApiError(400, 'api.invalid_request_error', message === '' ? 'Bad request' : message);
}

/** `/to/0/email` as a person writes it: `to[0].email`; the whole body is ''. A very long one is cut. */
export function fieldName(pointer: string): string {
  let name = '';
  for (const step of pointer.split('/').slice(1)) {
    const key = step.replaceAll('~1', '/').replaceAll('~0', '~');
    if (/^\d+$/.test(key)) name += `[${key}]`;
    else name += name === '' ? key : `.${key}`;
  }
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name;
}

function byPath(errors: readonly FastifySchemaValidationError[]): Map<string, FastifySchemaValidationError[]> {
  const groups = new Map<string, FastifySchemaValidationError[]>();
  for (const error of errors) {
    const group = groups.get(error.instancePath) ?? [];
    group.push(error);
    groups.set(error.instancePath, group);
  }
  return groups;
}

function groupProblems(path: string, group: readonly FastifySchemaValidationError[]): readonly string[] {
  const field = fieldName(path) || 'the request body';
  if (!isUnion(group)) {
    // Whichever words are allowed, they say that it must be one.
    const isWord = group.some(({ keyword }) => keyword === 'enum');
    const told = group.filter(({ keyword }) => !isWord || keyword !== 'type');
    return told.map((error) => problem(path, field, error));
  }
  // Each branch of a union complains for itself: say once what would have been right.
  const types = group.filter(({ keyword }) => keyword === 'type').map(({ params }) => typeName(String(params.type)));
  return types.length === 0 ? [] : [`${field} must be ${[...new Set(types)].join(' or ')}`];
}

function isUnion(group: readonly FastifySchemaValidationError[]): boolean {
  return group.some(({ keyword }) => keyword === 'anyOf' || keyword === 'oneOf');
}

function problem(path: string, field: string, error: FastifySchemaValidationError): string {
  const { keyword, params } = error;
  const inside = (name: unknown): string =>
    fieldName(`${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`);
  switch (keyword) {
    case 'required':
      return `${inside(params.missingProperty)} is required`;
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return `${inside(params.additionalProperty ?? params.unevaluatedProperty)} is not a known field`;
    case 'type':
      return `${field} must be ${typeName(String(params.type))}`;
    case 'enum':
      return `${field} must be one of ${[params.allowedValues]
        .flat()
        .map((value) => JSON.stringify(value))
        .join(', ')}`;
    case 'maxLength':
      return `${field} must have at most ${params.limit} characters`;
    case 'minLength':
      return params.limit === 1
        ? `${field} must not be empty`
        : `${field} must have at least ${params.limit} characters`;
    case 'maxItems':
      return `${field} must have at most ${params.limit} items`;
    case 'minItems':
      return params.limit === 1 ? `${field} must not be empty` : `${field} must have at least ${params.limit} items`;
    case 'maxProperties':
      return `${field} must have at most ${params.limit} members`;
    case 'minimum':
      return `${field} must be ${params.limit} or more`;
    case 'maximum':
      return `${field} must be ${params.limit} or less`;
    case 'pattern':
      return params.pattern === EMAIL_ADDRESS
        ? `${field} must be an e-mail address`
        : `${field} does not have the right form`;
    case 'format':
      return `${field} is not a valid ${params.format}`;
    default:
      return `${field} ${error.message ?? 'is not valid'}`;
  }
}

function typeName(type: string): string {
  const names: Readonly<Record<string, string>> = {
    object: 'an object',
    array: 'a list',
    integer: 'a whole number',
    boolean: 'true or false',
    null: 'null',
  };
  return names[type] ?? `a ${type}`;
}
