import type { FastifyReply } from 'fastify';

/** A small page without scripts, pictures or styles of others; nothing in it comes from a request. */
export interface Page {
  readonly title: string;
  /** HTML. */
  readonly body: string;
}

const STYLE = 'body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem}';

const HOW = '<p>Get a fresh address on the machine where Telltale runs:</p><pre>npm run telltale -- sign-in</pre>';

export function signInPage(): Page {
  return { title: 'Sign in', body: `<h1>Sign in</h1><p>You are not signed in, or your 12 hours are over.</p>${HOW}` };
}

export function staleTokenPage(): Page {
  return {
    title: 'This address was used',
    body: `<h1>This address no longer works</h1><p>It signs in once, within 24 hours.</p>${HOW}`,
  };
}

export async function sendPage(reply: FastifyReply, status: number, page: Page): Promise<FastifyReply> {
  return await reply
    .code(status)
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy':
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    })
    .send(
      `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
        `<title>${page.title} - Telltale</title><style>${STYLE}</style>${page.body}</html>\n`,
    );
}
