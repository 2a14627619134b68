import type { Query, Tx } from './pool.ts';

/** What happened, small enough to be written with every counted event; its payload is rendered at delivery. */
export interface Fact {
  readonly app: number;
  readonly trigger: string;
  readonly messageId: string;
  /** 0-based number of the event within (message, trigger). */
  readonly sequence: number;
  /** Clicks per link up to and including this event, in link order; null where the trigger has none. */
  readonly linkCounts: readonly number[] | null;
  readonly happenedAt: Date;
}

/** Writes facts in the transaction that made them true. */
export async function emit(tx: Query, facts: readonly Fact[]): Promise<void> {
  if (facts.length === 0) return;
  await tx`
    insert into outbox (app, trigger, message_id, sequence, link_counts, happened_at)
    select app, trigger, message_id, sequence, link_counts::integer[], happened_at
    from unnest(
      ${facts.map((fact) => fact.app)}::integer[],
      ${facts.map((fact) => fact.trigger)}::text[],
      ${facts.map((fact) => fact.messageId)}::uuid[],
      ${facts.map((fact) => fact.sequence)}::integer[],
      ${facts.map((fact) => (fact.linkCounts ? `{${fact.linkCounts.join(',')}}` : null))}::text[],
      ${facts.map((fact) => fact.happenedAt.toISOString())}::timestamptz[]
    ) as fact (app, trigger, message_id, sequence, link_counts, happened_at)`;
}

/** Takes the oldest facts that no other process is taking; gone for good when `tx` commits. */
export async function take(tx: Tx, limit: number): Promise<Fact[]> {
  const rows = await tx<
    {
      position: string;
      app: number;
      trigger: string;
      message_id: string;
      sequence: number;
      link_counts: number[] | null;
      happened_at: Date;
    }[]
  >`
    delete from outbox
    where position in (select position from outbox order by position limit ${limit} for update skip locked)
    returning position, app, trigger, message_id, sequence, link_counts, happened_at`;
  return rows
    .sort((a, b) => Number(a.position) - Number(b.position))
    .map((row) => ({
      app: row.app,
      trigger: row.trigger,
      messageId: row.message_id,
      sequence: row.sequence,
      linkCounts: row.link_counts,
      happenedAt: row.happened_at,
    }));
}
