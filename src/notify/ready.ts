// From claims to what is sent. The state is read, written down and forgotten here: a body may have a megabyte, and what
// is under way to a receiver that hangs keeps it for ten seconds.
import type { Sql } from '../db/pool.ts';
import { type RetrySchedule, storedSettings } from '../grants/settings.ts';
import { failureOf } from '../tracking/failure.ts';
import type { Claim } from './claiming.ts';
import { aboutOf, type Prepared, prepare } from './contents.ts';
import type { About, DestinationKind } from './destination.ts';
import { renderPayload } from './payloads.ts';
import { attemptsOf } from './retry.ts';

/** A claim and what becomes of it. */
export interface Ready {
  readonly claim: Claim;
  readonly schedule: RetrySchedule;
  readonly content: Letter | Gone | Unrenderable;
}

export interface Letter {
  readonly kind: 'letter';
  readonly to: DestinationKind;
  readonly address: string;
  /** As the vault sealed them, newest first; none where the far end wants no signature. */
  readonly sealedSecrets: readonly Buffer[];
  readonly compressed: boolean;
  readonly about: About;
  readonly body: Buffer;
}

/** What it tells of was erased or pruned, or is unknown to this version. */
export interface Gone {
  readonly kind: 'gone';
}

/** What it tells cannot be read, or not be written down. */
export interface Unrenderable {
  readonly kind: 'unrenderable';
  readonly error: unknown;
}

/**
 * Reads and renders what the claims tell. What cannot be read costs the others nothing. Claims whose destination was
 * deleted meanwhile are left out. Rejects where nothing can be read now.
 */
export async function makeReady(sql: Sql, claims: readonly Claim[], at: Date): Promise<Map<Claim, Ready>> {
  return new Map((await readApart(sql, claims, at)).map((ready) => [ready.claim, ready]));
}

async function readApart(sql: Sql, claims: readonly Claim[], at: Date): Promise<Ready[]> {
  try {
    // A transaction, because an error after the first rows leaves the driver with a wrong count for the next result of its
    // connection (porsager/postgres issue 1181): here that is the rollback's.
    const prepared = await sql.begin('read only', (tx) => prepare(tx, claims, at));
    return prepared.map(render);
  } catch (error) {
    if (failureOf(error).kind !== 'poison') throw error;
    const middle = claims.length >> 1;
    if (middle === 0) return await withoutContent(sql, claims, error);
    const before = await readApart(sql, claims.slice(0, middle), at);
    return [...before, ...(await readApart(sql, claims.slice(middle), at))];
  }
}

function render({ claim, schedule, kind: to, state, ...rest }: Prepared): Ready {
  if (state === null) return { claim, schedule, content: { kind: 'gone' } };
  const { address, sealedSecrets, compressed } = rest;
  try {
    // A claim that was lost after the last attempt is tried once more; the payload counts no further than the schedule.
    const body = Buffer.from(renderPayload(state, Math.min(claim.attempt, attemptsOf(schedule))));
    const about = aboutOf(state);
    return { claim, schedule, content: { kind: 'letter', to, address, sealedSecrets, compressed, about, body } };
  } catch (error) {
    return { claim, schedule, content: { kind: 'unrenderable', error } };
  }
}

async function withoutContent(sql: Sql, claims: readonly Claim[], error: unknown): Promise<Ready[]> {
  const ready: Ready[] = [];
  for (const claim of claims) {
    const [row] = await sql<{ settings: unknown }[]>`
      select a.settings from destinations d join applications a on a.serial = d.app
      where d.app = ${claim.app} and d.id = ${claim.destinationId}`;
    if (row === undefined) continue;
    const schedule = storedSettings(row.settings).retrySchedule;
    ready.push({ claim, schedule, content: { kind: 'unrenderable', error } });
  }
  return ready;
}
