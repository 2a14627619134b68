import { isDeepStrictEqual } from 'node:util';

/** Schemas with a title stand once, in `components.schemas`; everywhere else a reference. Throws where two share a title. */
export function withComponents<D extends { readonly components: object; readonly paths: object }>(document: D): D {
  const named = new Map<string, unknown>();
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== 'object' || value === null) return value;
    const copy = Object.fromEntries(Object.entries(value).map(([name, member]) => [name, visit(member)]));
    const { title } = copy;
    if (typeof title !== 'string') return copy;
    const known = named.get(title);
    if (known !== undefined && !isDeepStrictEqual(known, copy)) throw new Error(`two schemas are called ${title}`);
    named.set(title, copy);
    return { $ref: `#/components/schemas/${title}` };
  };
  const paths = visit(document.paths);
  const components = Object(visit(document.components));
  const schemas = Object.fromEntries([...named].sort(([a], [b]) => (a < b ? -1 : 1)));
  return { ...document, paths, components: { ...components, schemas } };
}
