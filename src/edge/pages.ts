import { createHash } from 'node:crypto';
import type { Answer } from './answer.ts';

const STYLE = 'body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}';
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

const COMMON = [
  'Content-Type',
  'text/html; charset=utf-8',
  'Cache-Control',
  'no-store',
  'Referrer-Policy',
  'no-referrer',
  'X-Robots-Tag',
  'noindex',
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
];

/** 302 with the address as a link in its body, for clients that do not follow. ASCII throughout, and small. */
export function redirectPage(location: string): Answer {
  const body = `<!doctype html><title>Redirecting</title><p>${anchor(location)}</p>\n`;
  const headers = [...COMMON, 'Location', location, 'Content-Length', String(body.length)];
  return { status: 302, headers, body, encoding: 'latin1' };
}

/** For mailto: and tel: in a tab: a 302 would leave it empty. */
export function programPage(location: string, written: string): Answer {
  const body = `<p>If nothing opens, use this link: ${anchor(location, written)}</p>`;
  return page(200, 'Opening your program', body, ['Refresh', `0; url=${location}`]);
}

/** The sender's account was deleted. The reader still gets to see where the link led; null: nobody knows any more. */
export function stoppedPage(link: { location: string; written: string } | null): Answer {
  const rest = link === null ? '' : ` It led to:</p><p>${anchor(link.location, link.written)}`;
  return page(410, 'This link is no longer active', `<p>Its sender has stopped using this service.${rest}</p>`);
}

export function blockedPage(): Answer {
  return page(410, 'This link has been blocked', '<p>It was reported as harmful.</p>');
}

export function unknownLinkPage(): Answer {
  return page(404, 'This link does not work', '<p>It may have been cut or changed on its way to you.</p>');
}

/** The address cannot be a Location; it is shown as text. */
export function unusableLinkPage(written: string): Answer {
  return page(404, 'This link cannot be followed', `<p>Its address is: ${escapeHtml(written)}</p>`);
}

export function tryAgainPage(): Answer {
  const body = '<p>Where it leads could not be looked up just now. Please try again in a moment.</p>';
  return page(503, 'This link cannot be followed right now', body, ['Retry-After', '5']);
}

export function methodPage(): Answer {
  return page(405, 'Method not allowed', '<p>A link can only be opened.</p>', ['Allow', 'GET, HEAD, OPTIONS']);
}

export function notFoundPage(): Answer {
  return page(404, 'Not found', '<p>There is nothing at this address.</p>');
}

export function failedPage(): Answer {
  return page(500, 'Something went wrong', '<p>This request could not be answered.</p>');
}

export function escapeHtml(text: string): string {
  if (!/[&<>"']/.test(text)) return text;
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function page(status: number, title: string, body: string, headers: string[] = []): Answer {
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${title}</title><style>${STYLE}</style>
<h1>${title}</h1>
${body}
`;
  const length = ['Content-Length', String(Buffer.byteLength(html))];
  return { status, headers: [...COMMON, ...headers, ...length], body: html, encoding: 'utf8' };
}

function anchor(location: string, shown = location): string {
  return `<a href="${escapeHtml(location)}" rel="noreferrer">${escapeHtml(shown)}</a>`;
}
