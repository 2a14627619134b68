/** One place in the HTML that gets a tracking link. `[start, end)` is the attribute value. */
export interface Occurrence {
  readonly start: number;
  readonly end: number;
  readonly url: string;
  /** Inside a conditional comment, where only Outlook sees it. */
  readonly hidden: boolean;
}

export interface NumberedLinks {
  /** The link index of each occurrence, in their order. */
  readonly indices: readonly number[];
  /** In `index` order, without gaps. */
  readonly links: readonly { readonly index: number; readonly url: string }[];
}

/**
 * Gives every visible occurrence its own index, in document order from 0, repeated URLs included. A hidden one takes
 * the index of its visible twin, so that a button written once for Outlook and once for the rest is one link; without
 * a twin it gets an index after all visible ones.
 */
export function numberLinks(occurrences: readonly Occurrence[]): NumberedLinks {
  const visible = occurrences.filter((occurrence) => !occurrence.hidden);
  const links = visible.map(({ url }, index) => ({ index, url }));
  if (visible.length === occurrences.length) return { indices: links.map(({ index }) => index), links };
  const twins = twinsByUrl(visible);
  let nextVisible = 0;
  const indices = occurrences.map(({ url, start, hidden }) => {
    if (!hidden) return nextVisible++;
    return nearest(twins.get(url), start) ?? links.push({ index: links.length, url }) - 1;
  });
  return { indices, links };
}

interface Twin {
  readonly start: number;
  readonly index: number;
}

function twinsByUrl(visible: readonly Occurrence[]): ReadonlyMap<string, readonly Twin[]> {
  const twins = new Map<string, Twin[]>();
  visible.forEach(({ url, start }, index) => {
    const same = twins.get(url);
    if (same === undefined) twins.set(url, [{ start, index }]);
    else same.push({ start, index });
  });
  return twins;
}

/** The first twin behind `at`, where templates put it, else the last one before. */
function nearest(twins: readonly Twin[] | undefined, at: number): number | undefined {
  if (twins === undefined) return undefined;
  let low = 0;
  let high = twins.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((twins[middle]?.start ?? 0) > at) high = middle;
    else low = middle + 1;
  }
  return twins[low]?.index;
}
