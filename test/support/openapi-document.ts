// An OpenAPI document as far as the tests look into it.

export type JsonSchema = unknown;

export interface Response {
  readonly content: { readonly 'application/json': { readonly schema: JsonSchema } };
}

export interface Parameter {
  readonly in: 'path' | 'query' | 'header';
  readonly name: string;
  readonly required: boolean;
  readonly schema: Readonly<Record<string, unknown>>;
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
  readonly responses: Readonly<Record<string, Response | { readonly $ref: string }>>;
}

export interface Document {
  readonly openapi: string;
  readonly info: object;
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly responses: Readonly<Record<string, Response>>;
    readonly headers: Readonly<Record<string, object>>;
  };
}

export interface Found {
  readonly path: string;
  readonly operation: Operation;
}

export function operationsOf(document: Document): readonly (Found & { readonly method: string })[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
}

/** The operation of a path as it was asked for, a written step before a parameter; null for none. */
export function findOperation(document: Document, method: string, asked: string): Found | null {
  const steps = stepsOf(asked);
  const fitting = Object.keys(document.paths)
    .filter((path) => fits(stepsOf(path), steps))
    .sort((a, b) => (a.replaceAll(/\{[^}]*\}/g, '\uffff') < b.replaceAll(/\{[^}]*\}/g, '\uffff') ? -1 : 1));
  for (const path of fitting) {
    const operation = document.paths[path]?.[method.toLowerCase()];
    if (operation !== undefined) return { path, operation };
  }
  return null;
}

export function resolved(document: Document, response: Response | { readonly $ref: string }): Response {
  if (!('$ref' in response)) return response;
  const found = document.components.responses[response.$ref.replace('#/components/responses/', '')];
  if (found === undefined) throw new Error(`${response.$ref} leads nowhere`);
  return found;
}

function stepsOf(path: string): readonly string[] {
  return path
    .replace(/^\/+/, '/')
    .replace(/(?<=.)\/$/, '')
    .split('/');
}

function fits(pattern: readonly string[], asked: readonly string[]): boolean {
  return (
    pattern.length === asked.length &&
    pattern.every((step, index) => step === asked[index] || (step.startsWith('{') && asked[index] !== ''))
  );
}
