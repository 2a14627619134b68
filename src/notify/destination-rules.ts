// What is asked of every destination, and of each kind.
import { ApiError, invalid } from '../errors.ts';
import { fromWireId, type WirePrefix, wireId } from '../ids.ts';
import type { DestinationKind } from './destination.ts';
import { isTrigger, TRIGGERS } from './triggers.ts';

export type DestinationStatus = 'active' | 'failing' | 'failed' | 'paused';

interface KindRules {
  readonly prefix: WirePrefix;
  /** The address's name on the wire. */
  readonly field: string;
  /** What the far end is called in messages. */
  readonly noun: string;
  readonly isSigned: boolean;
  /** How many an application may have. */
  readonly most: number;
}

export const RULES: Readonly<Record<DestinationKind, KindRules>> = {
  webhook: { prefix: 'wh', field: 'webhook_url', noun: 'webhook', isSigned: true, most: Number.POSITIVE_INFINITY },
  pubsub: { prefix: 'ch', field: 'topic', noun: 'channel', isSigned: false, most: 5 }, // Nylas's limit
};

const UNIQUE_VIOLATION = '23505';

/** A destination's wire id. */
export function nameOf(kind: DestinationKind, id: string): string {
  return wireId(RULES[kind].prefix, id);
}

/** The UUID behind a wire id; refuses one that is none of this kind. */
export function readId(kind: DestinationKind, name: string): string {
  const id = fromWireId(RULES[kind].prefix, name);
  if (id === null) throw destinationNotFound();
  return id;
}

/** The seeds' and Nylas's answer to an id that names none: 400, not 404. */
export function destinationNotFound(): ApiError {
  return new ApiError(400, '70000', 'destination.id.not.found : record not found');
}

/** Known triggers, each once. */
export function parseTriggers(names: readonly string[]): string[] {
  if (names.length === 0) throw invalid('trigger_types', 'must name at least one trigger');
  const unknown = names.find((name) => !isTrigger(name));
  if (unknown !== undefined) {
    throw invalid('trigger_types', `must not contain "${unknown.slice(0, 100)}"; allowed are ${TRIGGERS.join(', ')}`);
  }
  return [...new Set(names)];
}

/** Nylas's pages use three words for `paused` (D26). A client that writes back what it read changes nothing. */
export function parseStatus(asked: string, current: DestinationStatus): DestinationStatus {
  if (asked === 'pause' || asked === 'paused' || asked === 'inactive') return 'paused';
  if (asked === 'active' || asked === current) return asked;
  throw invalid('status', 'must be active or paused');
}

/** Whether deliveries leave for it. */
export function isServed(status: DestinationStatus): boolean {
  return status === 'active' || status === 'failing';
}

/** For what the database answers to a second destination with one address. */
export function duplicateOrThrow(kind: DestinationKind, error: unknown): never {
  if (error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION) throw duplicate(kind);
  throw error;
}

export function duplicate(kind: DestinationKind): ApiError {
  const { field, noun } = RULES[kind];
  return new ApiError(400, '70005', `invalid.input.format : ${field} is used by another ${noun} of the application`);
}
