export interface TrackedPaths {
  readonly pixels: readonly string[];
  readonly links: readonly string[];
}

/** Paths on the tracking host, as a decoded HTML body names them. */
export function trackedPaths(html: string): TrackedPaths {
  const paths = (kind: string): string[] =>
    [...html.matchAll(new RegExp(`"https?://[^/"]+(/${kind}/[^"]+)"`, 'g'))].map((match) => match[1] ?? '');
  return { pixels: paths('o'), links: paths('c') };
}
