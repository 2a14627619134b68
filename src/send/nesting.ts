// The part of tree construction the tokenizer depends on: which elements make their content inert (template) or
// foreign (svg, math), and where foreign content turns back into HTML.

type Namespace = 'html' | 'svg' | 'math';

interface OpenElement {
  readonly name: string;
  readonly content: Namespace;
  readonly at: number;
}

export interface Nesting {
  readonly open: OpenElement[];
  /** Namespace the next tag is in. */
  content: Namespace;
  templates: number;
}

// How far an end tag looks for its start tag. A bound keeps 1 MB of `<svg>` followed by `</math>` linear.
const MAX_LOOK_BACK = 64;

const INTEGRATION_POINTS = {
  html: new Set<string>(),
  svg: new Set(['foreignobject', 'desc', 'title']),
  math: new Set(['mi', 'mo', 'mn', 'ms', 'mtext']),
} satisfies Record<Namespace, Set<string>>;

const BREAKOUT = new Set(
  (
    'b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta ' +
    'nobr ol p pre ruby s small span strong strike sub sup table tt u ul var'
  ).split(' '),
);

export function newNesting(): Nesting {
  return { open: [], content: 'html', templates: 0 };
}

/** Whether this start tag, met in foreign content, ends it (`<svg><p>`). */
export function breaksOut(name: string): boolean {
  return BREAKOUT.has(name);
}

/** Whether the content of this foreign element is HTML again. */
export function isIntegrationPoint(nesting: Nesting, name: string): boolean {
  return INTEGRATION_POINTS[nesting.content].has(name);
}

export function enter(nesting: Nesting, name: string, content: Namespace, at: number): void {
  nesting.open.push({ name, content, at });
  nesting.content = content;
  if (name === 'template') nesting.templates++;
}

/**
 * Closes the nearest open element of that name; only `</template>` reaches out of a template. In foreign content an end
 * tag without a start is taken for that of an HTML element around it, which ends the foreign content too
 * (`<td><svg></td>`): open HTML elements are not kept, and a stray end tag there costs nothing.
 */
export function leave(nesting: Nesting, name: string): void {
  const { open, content } = nesting;
  const isTemplate = name === 'template' && nesting.templates > 0;
  const last = isTemplate ? 0 : Math.max(0, open.length - MAX_LOOK_BACK);
  for (let i = open.length - 1; i >= last; i--) {
    const element = open[i];
    if (element?.name === name) {
      truncate(nesting, i);
      return;
    }
    if (element?.name === 'template') break;
  }
  if (content !== 'html') leaveForeign(nesting);
}

/** Closes everything up to the nearest element whose content is HTML. */
export function leaveForeign(nesting: Nesting): void {
  let length = nesting.open.length;
  while (length > 0 && nesting.open[length - 1]?.content !== 'html') length--;
  truncate(nesting, length);
}

/** Where the outermost open template began, or `otherwise`. */
export function templateStart(nesting: Nesting, otherwise: number): number {
  if (nesting.templates === 0) return otherwise;
  return nesting.open.find((element) => element.name === 'template')?.at ?? otherwise;
}

function truncate(nesting: Nesting, length: number): void {
  const { open } = nesting;
  while (open.length > length) {
    if (open.pop()?.name === 'template') nesting.templates--;
  }
  nesting.content = open[length - 1]?.content ?? 'html';
}
