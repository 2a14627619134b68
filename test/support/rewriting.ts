import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RewriteOptions, RewriteTarget, Rewritten, TrackedLink } from '../../src/send/rewrite.ts';
import { rewrite } from '../../src/send/rewrite.ts';

export const HOST = 'https://t.telltale.example';

/** A target whose links can be read back: `/c/<index>/<base64url of the destination>`. */
export const target: RewriteTarget = {
  linkUrl: (index, url) => `${HOST}/c/${index}/${Buffer.from(url).toString('base64url')}`,
  pixelUrl: () => `${HOST}/o/new.gif`,
  unwrap: (url) => {
    const encoded = new RegExp(`^${HOST}/c/[^/]+/([\\w-]+)$`).exec(url)?.[1];
    return encoded === undefined ? null : Buffer.from(encoded, 'base64url').toString();
  },
  isOwnPixel: (url) => url.startsWith(`${HOST}/o/`),
};

export const options: RewriteOptions = {
  links: true,
  opens: true,
  linkSchemes: ['https', 'mailto', 'tel'],
  secretParameters: [],
};

export const linksOnly: RewriteOptions = { ...options, opens: false };
export const opensOnly: RewriteOptions = { ...options, links: false };

export const PIXEL = `<img src="${HOST}/o/new.gif" width="1" height="1" alt="" aria-hidden="true" style="border:0;height:1px;width:1px">`;

export type Success = Extract<Rewritten, { kind: 'rewritten' }>;

export function rewritten(html: string, changed: Partial<RewriteOptions> = {}): Success {
  const result = rewrite(html, { ...options, ...changed }, target);
  if (result.kind !== 'rewritten') throw new Error(result.message);
  return result;
}

export function urls(links: readonly TrackedLink[]): string[] {
  return links.map((link) => link.url);
}

export interface CorpusMail {
  readonly name: string;
  readonly html: string;
}

export function corpus(): CorpusMail[] {
  const folder = join(import.meta.dirname, '../../../bench/corpus');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.html'))
    .sort()
    .map((name) => ({ name, html: readFileSync(join(folder, name), 'utf8') }));
}

/** mulberry32: the same numbers for the same seed, each in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
