import { createHash } from 'node:crypto';
import type { Query } from '../db/pool.ts';
import { isUuid, uuidText } from '../ids.ts';
import type { Hit } from './hit.ts';

const LONGEST_FIELD = 4096;
const LONGEST_REASON = 500;

export interface SetAside {
  readonly hit: Hit;
  /** A code of ours, or what the database said. */
  readonly reason: string;
}

/** Keeps hits that cannot be recorded. Whatever they hold is made storable, so this fails only when the database does. */
export async function setAside(tx: Query, entries: readonly SetAside[]): Promise<void> {
  if (entries.length === 0) return;
  const texts = entries.map(({ hit }) => storable(hit));
  await tx`
    insert into quarantine (id, reason, hit)
    select id, reason, hit::jsonb
    from unnest(
      ${entries.map(({ hit }, at) => (isUuid(hit.id) ? hit.id : idFor(texts[at] ?? '')))}::uuid[],
      ${entries.map(({ reason }) => clean(reason).slice(0, LONGEST_REASON))}::text[],
      ${texts}::text[]
    ) as entry (id, reason, hit)
    on conflict (id) do nothing`;
}

/** JSON without what `jsonb` refuses: NUL (other control characters go with it) and lone surrogates. */
function storable(hit: Hit): string {
  return JSON.stringify(hit, (_key, value: unknown) =>
    typeof value === 'string' ? clean(value.slice(0, LONGEST_FIELD)) : value,
  );
}

function clean(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}]/gu, '\ufffd');
}

/** The same broken hit, read again, is set aside once. */
function idFor(text: string): string {
  return uuidText(createHash('sha256').update(text).digest().subarray(0, 16));
}
