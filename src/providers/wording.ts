// What mail servers and token endpoints say, as it may go on to people and into the database.

const LONGEST = 300;

/** One line of printing characters, cut between two of them; `longest` in UTF-16 units. */
export function shortened(text: string, longest = LONGEST): string {
  const line = oneLine(text);
  return line.length <= longest ? line : `${line.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

export function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/\p{C}/gu, '').trim();
}

/** As much of an outcome as is words. */
export interface Told {
  readonly kind: string;
  readonly reason?: string;
  readonly problems?: readonly { readonly reason: string }[];
  readonly refused?: readonly { readonly reason: string }[];
}

/** The outcome with reasons that PostgreSQL takes as text and in jsonb: no NUL, no half of a surrogate pair. */
export function storable<O extends Told>(outcome: O): O {
  const { reason, problems, refused } = outcome;
  return {
    ...outcome,
    ...(reason !== undefined && { reason: clean(reason) }),
    ...(problems !== undefined && { problems: problems.map(withCleanReason) }),
    ...(refused !== undefined && { refused: refused.map(withCleanReason) }),
  };
}

function withCleanReason<P extends { readonly reason: string }>(part: P): P {
  return { ...part, reason: clean(part.reason) };
}

function clean(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}
