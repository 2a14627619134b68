import { attributeText, quotedValue } from './attribute-text.ts';
import { hiddenContent } from './conditional-comments.ts';
import { isTrackable, isWebAddress, linkPolicy, readAddress } from './link-address.ts';
import { numberLinks, type Occurrence } from './link-numbers.ts';
import { type PixelPlaces, pixelPosition } from './pixel-position.ts';
import { type Sightings, scan } from './scanner.ts';
import { applySplices, type Change, type Splice } from './splices.ts';

/** Nylas's limit of tracked links per message. */
export const MAX_TRACKED_LINKS = 100;

export interface RewriteOptions {
  readonly links: boolean;
  readonly opens: boolean;
  readonly linkSchemes: readonly string[];
  /** Parameter names that mark a credential, besides the published list. Compared without case. */
  readonly secretParameters: readonly string[];
  /** URLs left as written, such as those of a List-Unsubscribe header. */
  readonly untouched?: readonly string[];
}

/** `url` as written: entities decoded, white space and line breaks stripped. */
export interface TrackedLink {
  readonly index: number;
  readonly url: string;
}

export interface RewriteTarget {
  /** The tracking URL of one link, in URL-safe ASCII. Asked once per occurrence. */
  linkUrl(index: number, url: string): string;
  pixelUrl(): string;
  /** Destination of one of our own tracked links (quoted mail), or null. Called only for http(s) URLs. */
  unwrap(url: string): string | null;
  /** Called only for http(s) URLs. */
  isOwnPixel(url: string): boolean;
}

export type Rewritten =
  | {
      readonly kind: 'rewritten';
      readonly html: string;
      /** In `index` order, without gaps. */
      readonly links: readonly TrackedLink[];
      /** What `undo` needs to give back the input. */
      readonly changes: readonly Change[];
    }
  | { readonly kind: 'too_many_links'; readonly count: number; readonly message: string };

// Destinations of a tracked link that are tracked links themselves: only a forged chain is longer.
const MAX_UNWRAP = 4;

/**
 * Replaces the links of an HTML mail by tracking links and adds the pixel; every byte it need not change stays.
 * Links: `<a href>`, and `<a href>` and VML `href` in Outlook's conditional comments. Old mail quoted in the body loses
 * our own old pixels, and our own old links are tracked anew as what they led to.
 */
export function rewrite(html: string, options: RewriteOptions, target: RewriteTarget): Rewritten {
  if (!options.links && !options.opens) return { kind: 'rewritten', html, links: [], changes: [] };
  const found = find(html, options, target);
  const numbered = numberLinks(found.occurrences);
  const count = numbered.links.length;
  if (count > MAX_TRACKED_LINKS) return { kind: 'too_many_links', count, message: tooManyLinks(count) };

  const splices: Splice[] = found.occurrences.map(({ start, end, url }, i) => {
    const trackingUrl = target.linkUrl(numbered.indices[i] ?? 0, url);
    return { start, end, text: attributeText(trackingUrl, html, start) };
  });
  if (found.splices.length > 0) {
    splices.push(...found.splices);
    splices.sort((a, b) => a.start - b.start);
  }
  if (options.opens) {
    const at = pixelPosition(html, found.places, growth(splices));
    const next = splices.findLastIndex((splice) => splice.start < at) + 1;
    splices.splice(next, 0, { start: at, end: at, text: pixel(target.pixelUrl()) });
  }
  return { kind: 'rewritten', ...applySplices(html, splices), links: numbered.links };
}

interface Found {
  readonly occurrences: readonly Occurrence[];
  /** Changes that have no number: our own old links and pixels. */
  readonly splices: readonly Splice[];
  readonly places: PixelPlaces;
}

function find(html: string, options: RewriteOptions, target: RewriteTarget): Found {
  const occurrences: Occurrence[] = [];
  const splices: Splice[] = [];
  const places: PixelPlaces = { bodyStart: -1, bodyEnd: -1, htmlEnd: -1, end: html.length };
  const policy = linkPolicy(options.linkSchemes, options.secretParameters);
  const untouched = new Set(options.untouched);
  // Hashing every address is not cheap, and few mails have such a list.
  const isUntouched = (url: string): boolean => untouched.size > 0 && untouched.has(url);

  const link = (start: number, end: number, hidden: boolean): void => {
    const written = options.links ? readAddress(html.slice(start, end)) : null;
    if (written === null) return;
    const url = unwrapped(written, target);
    if (isTrackable(url, policy) && !isUntouched(url)) occurrences.push({ start, end, url, hidden });
    else if (url !== written) splices.push({ start, end, text: attributeText(url, html, start) });
  };
  let offset = 0;
  const inside: Sightings = { ...NOTHING, link: (start, end) => link(offset + start, offset + end, true) };
  const sees: Sightings = {
    link: (start, end) => link(start, end, false),
    image: (tagStart, tagEnd, valueStart, valueEnd) => {
      const url = readAddress(html.slice(valueStart, valueEnd));
      if (url === null || !isWebAddress(url) || !target.isOwnPixel(url)) return;
      splices.push({ start: tagStart, end: tagEnd, text: '' });
    },
    comment: (start, end) => {
      const hidden = options.links ? hiddenContent(html, start, end) : null;
      if (hidden === null || !/href/i.test(hidden.text)) return;
      offset = hidden.start;
      scan(hidden.text, inside, true);
    },
    bodyStart: (tagEnd) => {
      if (places.bodyStart === -1) places.bodyStart = tagEnd;
    },
    bodyEnd: (tagStart) => {
      places.bodyEnd = tagStart;
    },
    htmlEnd: (tagStart) => {
      places.htmlEnd = tagStart;
    },
  };
  places.end = scan(html, sees);
  return { occurrences, splices, places };
}

const ignore = (): void => {};
const NOTHING: Sightings = {
  link: ignore,
  image: ignore,
  comment: ignore,
  bodyStart: ignore,
  bodyEnd: ignore,
  htmlEnd: ignore,
};

function unwrapped(written: string, target: RewriteTarget): string {
  let url = written;
  for (let depth = 0; depth < MAX_UNWRAP && isWebAddress(url); depth++) {
    const destination = target.unwrap(url);
    if (destination === null) break;
    url = destination;
  }
  return url;
}

function growth(splices: readonly Splice[]): number {
  return splices.reduce((sum, { start, end, text }) => sum + text.length - (end - start), 0);
}

function pixel(url: string): string {
  // Not `display:none`: some renderers do not load hidden images.
  const style = 'border:0;height:1px;width:1px';
  return `<img src=${quotedValue(url)} width="1" height="1" alt="" aria-hidden="true" style="${style}">`;
}

function tooManyLinks(count: number): string {
  return `Too many tracking links: ${count} exceeds the maximum of ${MAX_TRACKED_LINKS}. Please reduce the number of links in your email.`;
}
