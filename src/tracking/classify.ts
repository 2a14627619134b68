import type { Hit } from './hit.ts';

/** Who a hit seems to come from. `unknown` is the honest answer where no rule matched. */
export type HitClass = 'human' | 'proxy' | 'machine' | 'scanner' | 'sender' | 'unknown';

export interface Verdict {
  readonly class: HitClass;
  /** Codes of every rule that matched, strongest first. */
  readonly reasons: readonly string[];
  /** Whether the hit may move a counter and be notified. The class alone never decides that. */
  readonly counts: boolean;
}

interface Rule {
  readonly reason: string;
  readonly class: HitClass;
  readonly counts: boolean;
  /** Pixels and links are judged by different rules. */
  readonly on: readonly Hit['kind'][];
  matches(hit: Hit): boolean;
}

const BOTH: readonly Hit['kind'][] = ['open', 'click'];

/** Strongest first: the first rule that matches names the class. */
const RULES: readonly Rule[] = [
  // No mail client shows a picture or follows a link with another method; tools that look ahead do.
  method('method_head', 'HEAD'),
  method('method_options', 'OPTIONS'),
  method('method_other', 'other'),
  { reason: 'prefetch', class: 'machine', counts: false, on: BOTH, matches: (hit) => hit.prefetch },
];

/** Judges a hit by itself alone, so that the same hit read twice gets the same verdict. */
export function classify(hit: Hit): Verdict {
  const matched = RULES.filter((rule) => rule.on.includes(hit.kind) && rule.matches(hit));
  return {
    class: matched[0]?.class ?? 'unknown',
    reasons: matched.map((rule) => rule.reason),
    counts: matched.every((rule) => rule.counts),
  };
}

function method(reason: string, name: Hit['method']): Rule {
  return { reason, class: 'machine', counts: false, on: BOTH, matches: (hit) => hit.method === name };
}
