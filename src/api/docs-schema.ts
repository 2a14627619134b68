// Schemas of the OpenAPI document as tables for people. Named ones stand once on the page and are linked to.
import { escapeHtml } from './practice-view.ts';
import { LAST_SECOND } from './query.ts';

/** A schema as our own document writes it. */
export interface SchemaInDocument {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly SchemaInDocument[];
  readonly items?: SchemaInDocument;
  readonly properties?: Readonly<Record<string, SchemaInDocument>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | SchemaInDocument;
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly contentMediaType?: string;
}

/** What a schema is in a few words, HTML; `list of Person` with a link. */
export function kindOf(schema: SchemaInDocument): string {
  if (schema.$ref !== undefined) return linkTo(schema.$ref);
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(kindOf))].join(' or ');
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum !== undefined) return schema.enum.map((word) => code(String(word))).join(' ');
  if (schema.type === 'array') return `list of ${schema.items === undefined ? 'anything' : many(kindOf(schema.items))}`;
  if (schema.contentMediaType !== undefined) return 'file';
  if (schema.type === 'null') return 'null';
  if (schema.type === 'object' && typeof schema.additionalProperties === 'object') {
    return `object of ${many(kindOf(schema.additionalProperties))}`;
  }
  return schema.type ?? 'anything';
}

export interface TableOptions {
  readonly title: string;
  /** What is marked: what a request must have, or what an answer need not have. */
  readonly marks: 'required' | 'optional';
  readonly id?: string;
}

/** A table of an object's members, those of objects without a name inside it. */
export function membersTable(schema: SchemaInDocument, { title, marks, id }: TableOptions): string {
  const mark = (name: string): string => markOf(schema, name, marks);
  const rows = Object.entries(schema.properties ?? {}).map(([name, member]) =>
    row({ name, member, marks, mark: mark(name) }),
  );
  const { additionalProperties: others } = schema;
  if (typeof others === 'object' && rows.length > 0) rows.push(row({ name: '…', member: others, mark: '' }));
  if (rows.length === 0) return `<p class="plain">${escapeHtml(title)}: ${kindOf(schema)}. ${described(schema)}</p>`;
  const named = id === undefined ? '' : ` id="${escapeHtml(id)}"`;
  return `<table${named}><caption>${escapeHtml(title)}</caption><thead><tr><th>Member</th><th>Type</th><th>What it is</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

export interface Row {
  readonly name: string;
  readonly member: SchemaInDocument;
  /** Beside the name: required, optional or nothing. */
  readonly mark: string;
  readonly marks?: TableOptions['marks'];
  readonly description?: string | undefined;
  /** Where it is given: path, query, header. */
  readonly place?: string;
}

export function row({ name, member, mark, marks = 'required', description, place }: Row): string {
  const where = place === undefined ? '' : `<span class="place">${escapeHtml(place)}</span>`;
  const told = [description === undefined ? described(member) : escapeHtml(description), limits(member)];
  const inside = nested(member, marks);
  return `<tr><td>${code(name)}${where}${label(mark)}</td><td>${kindOf(member)}</td><td>${told.filter((part) => part !== '').join(' ')}${inside}</td></tr>`;
}

function nested(schema: SchemaInDocument, marks: TableOptions['marks']): string {
  const inner = [schema, schema.items, ...(schema.anyOf ?? [])].find((each) => each?.properties !== undefined);
  return inner === undefined ? '' : membersList(inner, marks);
}

function membersList(schema: SchemaInDocument, marks: TableOptions['marks']): string {
  const items = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const told = [described(member), limits(member)].filter((part) => part !== '').join(' ');
    const mark = label(markOf(schema, name, marks));
    return `<li>${code(name)} <span class="kind">${kindOf(member)}</span>${mark} ${told}${nested(member, marks)}</li>`;
  });
  return `<ul>${items.join('')}</ul>`;
}

function markOf(schema: SchemaInDocument, name: string, marks: TableOptions['marks']): string {
  const isRequired = schema.required?.includes(name) === true;
  return isRequired === (marks === 'required') ? marks : '';
}

function label(mark: string): string {
  return mark === '' ? '' : ` <span class="mark ${mark}">${mark}</span>`;
}

function described({ description = '' }: SchemaInDocument): string {
  return escapeHtml(description).replace(/`([^`]*)`/g, '<code>$1</code>');
}

function limits(schema: SchemaInDocument): string {
  const { minimum, maximum, minLength, maxLength, minItems, maxItems } = schema;
  const parts = [
    maximum === LAST_SECOND ? '' : range(minimum, maximum, ''),
    range(minLength, maxLength, ' characters'),
    minItems === 1 && maxItems === undefined ? 'not empty' : range(minItems, maxItems, ' items'),
    schema.default === undefined ? '' : `default ${code(String(schema.default))}`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : `<span class="limits">${parts.join(', ')}</span>`;
}

function range(least: number | undefined, most: number | undefined, what: string): string {
  if (least === undefined && most === undefined) return '';
  if (least !== undefined && most !== undefined) return `${shown(least)} to ${shown(most)}${what}`;
  return most === undefined ? `at least ${shown(least ?? 0)}${what}` : `at most ${shown(most)}${what}`;
}

function shown(number: number): string {
  return number.toLocaleString('en');
}

/** Simple types in the plural; names and words stay as they are. */
function many(kind: string): string {
  return /^[a-z]+$/.test(kind) && kind !== 'anything' ? `${kind}s` : kind;
}

/** '' for a schema without a name. */
export function nameOf({ $ref }: SchemaInDocument): string {
  return $ref?.split('/').at(-1) ?? '';
}

function linkTo(reference: string): string {
  const name = escapeHtml(reference.split('/').at(-1) ?? '');
  return `<a href="#${name}">${name}</a>`;
}

export function code(text: string): string {
  return `<code>${escapeHtml(text)}</code>`;
}
