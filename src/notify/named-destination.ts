import type { Sql } from '../db/pool.ts';
import { fromWireId } from '../ids.ts';
import type { DestinationKind } from './destination.ts';
import { nameOf } from './destination-rules.ts';

export interface NamedDestination {
  readonly app: number;
  readonly id: string;
  readonly kind: DestinationKind;
}

/** A destination of whichever application, for the operator. Null where the wire id names none. */
export async function findDestination(sql: Sql, name: string): Promise<NamedDestination | null> {
  const id = fromWireId('wh', name) ?? fromWireId('ch', name);
  if (id === null) return null;
  const [found] = await sql<NamedDestination[]>`select app, id, kind from destinations where id = ${id}`;
  return found !== undefined && nameOf(found.kind, id) === name ? found : null;
}
