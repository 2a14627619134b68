/** Replacement of `[start, end)` of the input by `text`. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** One change as seen from the output: `[start, end)` there stood for `original` in the input. */
export interface Change {
  readonly start: number;
  readonly end: number;
  readonly original: string;
}

export interface Spliced {
  readonly html: string;
  readonly changes: readonly Change[];
}

/** Applies splices that are sorted by `start` and do not overlap. */
export function applySplices(html: string, splices: readonly Splice[]): Spliced {
  const changes: Change[] = [];
  let output = '';
  let done = 0;
  for (const { start, end, text } of splices) {
    output += html.slice(done, start) + text;
    changes.push({ start: output.length - text.length, end: output.length, original: html.slice(start, end) });
    done = end;
  }
  return { html: output + html.slice(done), changes };
}

/** Gives back the input of the `applySplices` that returned this. */
export function undo(spliced: Spliced): string {
  const { html, changes } = spliced;
  return applySplices(
    html,
    changes.map(({ start, end, original }) => ({ start, end, text: original })),
  ).html;
}
