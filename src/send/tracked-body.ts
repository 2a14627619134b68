import type { Grant } from '../grants/grants.ts';
import type { TrackingSettings } from '../grants/settings.ts';
import type { TrackedLink } from '../tracking/links.ts';
import { linkUrl, ownLink, ownPixel, pixelUrl, type TokenKeys } from '../tracking/token.ts';
import type { Header } from './compose.ts';
import type { Outgoing, Tracking, Warning } from './outgoing.ts';
import { tooManyLinksRefusal } from './refusals.ts';
import { type RewriteTarget, rewrite } from './rewrite.ts';

export interface TrackedBodyDeps {
  readonly keys: TokenKeys;
  /** Where tracking links and pixels point; without a trailing slash. */
  readonly trackingUrl: string;
  /** True while nobody but this machine can reach the tracking URL. */
  readonly loopback: boolean;
}

/** D24: what cannot be tracked is not, and the answer says so. */
export function trackable(
  deps: Pick<TrackedBodyDeps, 'loopback' | 'trackingUrl'>,
  grant: Pick<Grant, 'provider' | 'settings'>,
  { tracking, isPlaintext }: Outgoing,
): { tracking: Tracking; warnings: Warning[] } {
  const warnings: Warning[] = [];
  let possible = tracking;
  if (tracking.threadReplies && grant.settings.send_only === true) {
    possible = { ...possible, threadReplies: false };
    warnings.push({ type: 'tracking.send_only', message: SEND_ONLY });
  }
  const unseen = tracking.opens || tracking.links ? whyUnseen(deps, grant, isPlaintext) : null;
  if (unseen !== null) {
    possible = { ...possible, opens: false, links: false };
    warnings.push(unseen);
  }
  return { tracking: possible, warnings };
}

const SEND_ONLY = 'Replies are not tracked, because this grant can only send: it was connected without imap_host.';

/** Why neither opens nor clicks of the message could ever be noticed. */
function whyUnseen(
  deps: Pick<TrackedBodyDeps, 'loopback' | 'trackingUrl'>,
  grant: Pick<Grant, 'provider'>,
  isPlaintext: boolean,
): Warning | null {
  if (isPlaintext) {
    const message = 'Opens and links of a plain text message cannot be tracked; it was sent without that.';
    return { type: 'tracking.plaintext', message };
  }
  if (deps.loopback && grant.provider !== 'practice') {
    const message = `Opens and links are not tracked, because recipients cannot reach ${deps.trackingUrl}. Set TELLTALE_PUBLIC_URL to an address they can reach.`;
    return { type: 'tracking.loopback', message };
  }
  return null;
}

export interface Body {
  readonly body: string;
  readonly links: readonly TrackedLink[];
}

/** With neither opens nor links the body is not even looked at (D22). */
export function trackedBody(
  deps: TrackedBodyDeps,
  grant: Grant,
  message: string,
  mail: Outgoing,
  tracking: Tracking,
  settings: TrackingSettings,
): Body {
  if (!tracking.opens && !tracking.links) return { body: mail.body, links: [] };
  const identity = { app: grant.app, grant: grant.serial, message };
  const rewritten = rewrite(
    mail.body,
    {
      opens: tracking.opens,
      links: tracking.links,
      linkSchemes: settings.linkSchemes,
      secretParameters: settings.secretParameters,
      untouched: unsubscribeUrls(mail.customHeaders),
    },
    {
      linkUrl: (index, url) => linkUrl(deps.keys, deps.trackingUrl, { ...identity, link: index }, url),
      pixelUrl: () => pixelUrl(deps.keys, deps.trackingUrl, identity),
      ...ownIn(deps.keys, grant.app),
    },
  );
  if (rewritten.kind === 'too_many_links') throw tooManyLinksRefusal(rewritten.message);
  return { body: rewritten.html, links: rewritten.links };
}

/**
 * The body as the sender may look at it without being counted: as written, but for our pixels and tracked links in
 * older mail that it quotes.
 */
export function cleanBody(deps: Pick<TrackedBodyDeps, 'keys'>, app: number, body: string): string {
  const cleaned = rewrite(
    body,
    { opens: false, links: true, linkSchemes: [], secretParameters: [] },
    { linkUrl: (_index, url) => url, pixelUrl: () => '', ...fewOwnIn(deps.keys, app) },
  );
  return cleaned.kind === 'rewritten' ? cleaned.html : body;
}

/** Takes what is ours out of bodies that an application shows. */
export function bodyCleaner(
  deps: Pick<TrackedBodyDeps, 'keys'>,
  app: number,
): { html(body: string): string; text(body: string): string } {
  return { html: (body) => cleanBody(deps, app, body), text: (body) => cleanText(deps, app, body) };
}

/** The same for text without tags: mail programs write the addresses of links and images into it. */
export function cleanText(deps: Pick<TrackedBodyDeps, 'keys'>, app: number, text: string): string {
  const { unwrap, isOwnPixel } = fewOwnIn(deps.keys, app);
  return text.replace(ADDRESS, (url) => (isOwnPixel(url) ? '' : (unwrap(url) ?? url)));
}

/** Without the punctuation of the sentence in which it stands. */
const ADDRESS = /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?()[\]]/gi;

/** To be mended and proven an address may take 0.1 ms: mail of strangers is not read on for longer than this many take. */
const MOST_TRIED = 2000;
const LIKE_OURS = /^\s*https?:\/\/[^/?#]+\/[co]\//i;

function fewOwnIn(keys: TokenKeys, app: number): ReturnType<typeof ownIn> {
  const own = ownIn(keys, app);
  let left = MOST_TRIED;
  const isTried = (url: string): boolean => LIKE_OURS.test(url) && left-- > 0;
  return {
    unwrap: (url) => (isTried(url) ? own.unwrap(url) : null),
    isOwnPixel: (url) => isTried(url) && own.isOwnPixel(url),
  };
}

/** Another application's links and pixels are as foreign as anybody's. */
function ownIn(keys: TokenKeys, app: number): Pick<RewriteTarget, 'unwrap' | 'isOwnPixel'> {
  return {
    unwrap: (url) => {
      const own = ownLink(keys, url);
      return own?.identity.app === app ? own.destination : null;
    },
    isOwnPixel: (url) => ownPixel(keys, url)?.app === app,
  };
}

/** A counted click on "unsubscribe" is worth nothing, and the header and the body must agree. */
function unsubscribeUrls(headers: readonly Header[]): string[] {
  return headers
    .filter(({ name }) => name.toLowerCase() === 'list-unsubscribe')
    .flatMap(({ value }) => [...value.matchAll(/<([^<>\s]+)>/g)].map((match) => match[1] ?? ''));
}
