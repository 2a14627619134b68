// Arrays for the driver. It would ask each new connection for the array types of the server, and when that connection is
// cut in the meantime the question's failure is nobody's: an unhandled rejection, which ends the process. So that
// question is switched off (`fetch_types`), and the array types we use stand here. Other types are cast in SQL.
import type postgres from 'postgres';

/** Object ids of pg_type.dat; they never change. */
const OID = { int2s: 1005, int4s: 1007, texts: 1009, int8s: 1016, timestamptzs: 1185, uuids: 2951 } as const;

export const ARRAY_TYPES: Record<string, postgres.PostgresType> = {
  integers: {
    to: OID.int4s,
    from: [OID.int2s, OID.int4s],
    serialize: arrayText,
    parse: (text: string) => parseArray(text).map((element) => (element === null ? null : Number(element))),
  },
  strings: {
    to: OID.texts,
    from: [OID.texts, OID.int8s, OID.timestamptzs, OID.uuids],
    serialize: arrayText,
    parse: parseArray,
  },
};

/** The text of a one-dimensional array (PostgreSQL documentation, 8.15.6). Text, numbers and null only. */
export function arrayText(elements: unknown): string {
  if (typeof elements === 'string') return elements; // written by hand already
  if (!Array.isArray(elements)) throw new TypeError('an array parameter is no array');
  return `{${elements.map(elementText).join(',')}}`;
}

function elementText(element: unknown): string {
  if (element === null) return 'null';
  if (typeof element === 'number' || typeof element === 'bigint') return String(element);
  if (typeof element === 'string') return `"${element.replace(/["\\]/g, '\\$&')}"`;
  throw new TypeError(`an array parameter holds a ${typeof element}; write it as text`);
}

/** The elements of a one-dimensional array's text. */
export function parseArray(text: string): (string | null)[] {
  const elements: (string | null)[] = [];
  for (const match of text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|[^,]+/gs)) {
    if (match[1] !== undefined) elements.push(match[1].replace(/\\(.)/gs, '$1'));
    else elements.push(match[0] === 'NULL' ? null : match[0]);
  }
  return elements;
}
