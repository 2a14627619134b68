/** Where a link leads, checked once more at the moment of the redirect. */
export interface Destination {
  /** The address as it was written. */
  readonly written: string;
  /** Fit for a Location header: as written when that is a valid ASCII URI, else serialised. */
  readonly location: string;
  /** In lower case; '' for mail addresses and telephone numbers. */
  readonly host: string;
  /** mailto: or tel:, which no tab can show. */
  readonly opensProgram: boolean;
}

const SCHEME = /^(https?|mailto|tel):/i;
const CONTROL = /\p{Cc}/u;
/** RFC 3986 characters only, and for the web an authority (`https:host` would be taken as relative). */
const ASCII_URI = /^(?:https?:\/\/[^/]|mailto:|tel:)(?:[\w.~:/?#[\]@!$&'()*+,;=-]|%[0-9a-f]{2})*$/i;

/** Null for what must never be redirected to: another scheme, control characters, no URL at all. */
export function destinationOf(written: string): Destination | null {
  const scheme = SCHEME.exec(written)?.[1]?.toLowerCase();
  if (scheme === undefined || CONTROL.test(written) || !URL.canParse(written)) return null;
  const url = new URL(written);
  const location = ASCII_URI.test(written) ? written : url.href.replace(/[^\x21-\x7e]/gu, encodeURIComponent);
  return { written, location, host: url.hostname, opensProgram: scheme === 'mailto' || scheme === 'tel' };
}
