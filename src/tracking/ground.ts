import type { Tx } from '../db/pool.ts';
import type { Occurrence } from './occurrence.ts';

export type Judgement =
  /** Not to be stored at all. */
  | { readonly kind: 'dropped' }
  /** Cannot be stored, and why. */
  | { readonly kind: 'refused'; readonly reason: 'message_unknown' | 'link_out_of_range' }
  /** To be stored; with stops, without counting. */
  | { readonly kind: 'wanted'; readonly stops: readonly string[] };

/** What the database says about the messages, grants and applications of a batch. */
export interface Ground {
  judge(occurrence: Occurrence): Judgement;
  linkCount(occurrence: Occurrence): number;
  /** `open_dedupe_seconds` of the application. */
  dedupeSeconds(app: number): number;
}

/** Reads it inside the recording transaction, because the edge's copy of the stops may be a second old. */
export async function readGround(tx: Tx, occurrences: readonly Occurrence[]): Promise<Ground> {
  const apps = [...new Set(occurrences.map(({ app }) => app))];
  const grants = [...new Set(occurrences.map(({ grant }) => grant))];
  const messages = [...new Map(occurrences.map((occurrence) => [messageKey(occurrence), occurrence])).values()];
  const [linkCounts, states, windows, stops] = await Promise.all([
    readLinkCounts(tx, messages),
    readGrantStates(tx, grants),
    readDedupeSeconds(tx, apps),
    readStopsFor(tx, apps, [...grants.map(String), ...messages.map(({ message }) => message)]),
  ]);
  return {
    judge(occurrence) {
      const { app, grant, message, link } = occurrence;
      const state = states.get(grant);
      const grantIsStopped = stops.has(`${app} grant ${grant}`);
      if (state === 'deleted' || (state === undefined && grantIsStopped)) return { kind: 'dropped' };
      const links = linkCounts.get(messageKey(occurrence));
      if (links === undefined) return { kind: 'refused', reason: 'message_unknown' };
      if (link !== null && !(Number.isInteger(link) && link >= 0 && link < links)) {
        return { kind: 'refused', reason: 'link_out_of_range' };
      }
      const found = [
        ...(grantIsStopped ? ['grant_stopped'] : []),
        ...(stops.has(`${app} message ${message}`) ? ['message_blocked'] : []),
      ];
      return { kind: 'wanted', stops: found };
    },
    linkCount: (occurrence) => linkCounts.get(messageKey(occurrence)) ?? 0,
    dedupeSeconds: (app) => windows.get(app) ?? 0,
  };
}

function messageKey({ app, message }: { app: number; message: string }): string {
  return `${app} ${message}`;
}

async function readLinkCounts(tx: Tx, messages: readonly Occurrence[]): Promise<Map<string, number>> {
  const rows = await tx<{ app: number; message: string; link_count: number }[]>`
    select wanted.app, wanted.id as message, m.link_count
    from unnest(
      ${messages.map(({ app }) => app)}::integer[], ${messages.map(({ message }) => message)}::uuid[]
    ) as wanted (app, id)
    cross join lateral (select link_count from messages m where m.app = wanted.app and m.id = wanted.id limit 1) as m`;
  return new Map(rows.map((row) => [messageKey(row), row.link_count]));
}

async function readGrantStates(tx: Tx, grants: readonly number[]): Promise<Map<number, string>> {
  const rows = await tx<{ serial: number; state: string }[]>`
    select serial, state from grants where serial = any(${grants}::integer[])`;
  return new Map(rows.map(({ serial, state }) => [serial, state]));
}

async function readDedupeSeconds(tx: Tx, apps: readonly number[]): Promise<Map<number, number>> {
  const rows = await tx<{ serial: number; seconds: string }[]>`
    select serial, settings->>'open_dedupe_seconds' as seconds from applications
    where serial = any(${apps}::integer[]) and settings->>'open_dedupe_seconds' is not null`;
  return new Map(rows.map(({ serial, seconds }) => [serial, Number(seconds) || 0]));
}

async function readStopsFor(tx: Tx, apps: readonly number[], subjects: readonly string[]): Promise<Set<string>> {
  const rows = await tx<{ app: number; kind: string; subject: string }[]>`
    select app, kind, subject from stops
    where app = any(${apps}::integer[]) and kind in ('grant', 'message') and subject = any(${subjects}::text[])`;
  return new Set(rows.map(({ app, kind, subject }) => `${app} ${kind} ${subject}`));
}
