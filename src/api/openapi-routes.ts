import { readFile } from 'node:fs/promises';
import { requireOwnHost } from './auth.ts';
import { docsPage } from './docs-page.ts';
import type { Routes } from './http.ts';
import { JSON_TYPE } from './respond.ts';

const STYLE = new URL('../../../pages/docs.css', import.meta.url);
const HEADERS = {
  'cache-control': 'no-cache',
  'content-security-policy':
    "default-src 'none'; style-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** GET /openapi.json, and GET /docs for people. They need no key: they tell what our documentation tells anyway. */
export function openApiRoutes({ publicUrl }: { readonly publicUrl: string }): Routes {
  return (http) => {
    const document = onceMade(() => JSON.stringify(http.swagger()));
    const page = onceMade(() => docsPage(JSON.parse(document())));

    http.get('/openapi.json', async (_request, reply) =>
      reply
        .headers({ 'content-type': JSON_TYPE, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' })
        .send(document()),
    );

    http.get('/docs', async (request, reply) => {
      requireOwnHost(publicUrl, request);
      return await reply.headers({ ...HEADERS, 'content-type': 'text/html; charset=utf-8' }).send(page());
    });

    http.get('/docs/docs.css', async (request, reply) => {
      requireOwnHost(publicUrl, request);
      const style = await readFile(STYLE);
      return await reply.headers({ ...HEADERS, 'content-type': 'text/css; charset=utf-8' }).send(style);
    });
  };
}

/** There are no routes to be told of before the server is ready. */
function onceMade<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
