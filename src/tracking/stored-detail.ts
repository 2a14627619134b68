// Reading what a fact told, back from a `jsonb` column.
import type { Party } from './send-facts.ts';

export type StoredObject = { readonly [name: string]: unknown };

export function isObject(value: unknown): value is StoredObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((element) => typeof element === 'string');
}

export function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

export function isParties(value: unknown): value is readonly Party[] {
  return Array.isArray(value) && value.every(isParty);
}

function isParty(value: unknown): value is Party {
  return isObject(value) && typeof value.name === 'string' && typeof value.email === 'string';
}
