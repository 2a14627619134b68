// The OpenAPI document as a page for people: without scripts, everything in it from the document.
import { code, kindOf, membersTable, nameOf, row, type SchemaInDocument } from './docs-schema.ts';
import { BODY } from './openapi.ts';
import { escapeHtml } from './practice-view.ts';

interface ParameterInDocument {
  readonly in: string;
  readonly name: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: SchemaInDocument;
}

interface Media {
  readonly schema: SchemaInDocument;
  readonly example?: unknown;
}

interface OperationInDocument {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly ParameterInDocument[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, ResponseInDocument>>;
}

interface ResponseInDocument {
  readonly $ref?: string;
  readonly description?: string;
  readonly content?: Readonly<Record<string, Media>>;
}

export interface DocumentOfApi {
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationInDocument>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, SchemaInDocument>>;
    readonly responses: Readonly<Record<string, ResponseInDocument>>;
  };
}

interface Route {
  readonly method: string;
  readonly path: string;
  readonly told: OperationInDocument;
}

/** The whole page, HTML. */
export function docsPage(document: DocumentOfApi): string {
  const { info, components } = document;
  const groups = document.tags
    .map((tag) => ({ tag, routes: routesOf(document).filter(({ told }) => told.tags.includes(tag.name)) }))
    .filter(({ routes }) => routes.length > 0);
  const contents = groups.map(({ tag, routes }) => contentsOf(tag.name, routes)).join('');
  const navigation = `${contents}<h2><a href="#objects">Objects</a></h2>`;
  const sections = groups.map(({ tag, routes }) => section(document, tag, routes)).join('');
  const objects = Object.entries(components.schemas)
    .filter(([name]) => !name.endsWith(BODY))
    .map(([name, schema]) => object(name, schema));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API - Telltale</title>
<link rel="stylesheet" href="/docs/docs.css">
</head>
<body>
<header><a href="#top" class="name">${escapeHtml(info.title)}</a> <span class="version">API ${escapeHtml(info.version)}</span> <a class="document" href="/openapi.json">openapi.json</a></header>
<nav class="side" aria-label="Routes">${navigation}</nav>
<main id="top">
<details class="contents"><summary>Routes</summary><nav aria-label="Routes">${navigation}</nav></details>
<h1>API</h1>
<p>${marked(info.description)}</p>
<p>Every call needs an API key: <code>Authorization: Bearer &lt;API key&gt;</code>. A refusal is an <a href="#Error">Error</a>, whichever its status.</p>
${statusTable(components.responses)}
${sections}
<section id="objects"><h2>Objects</h2>${objects.join('')}</section>
</main>
</body>
</html>
`;
}

function routesOf({ paths }: DocumentOfApi): readonly Route[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => ({ method: method.toUpperCase(), path, told })),
  );
}

function contentsOf(tag: string, routes: readonly Route[]): string {
  const items = routes.map(
    ({ method, told }) => `<li><a href="#${told.operationId}">${badge(method)}${escapeHtml(told.summary)}</a></li>`,
  );
  return `<h2><a href="#${anchorOf(tag)}">${escapeHtml(tag)}</a></h2><ul>${items.join('')}</ul>`;
}

function statusTable(responses: DocumentOfApi['components']['responses']): string {
  const rows = Object.entries(responses).map(
    ([name, { description = '' }]) =>
      `<tr><td>${code(name.replace('Refusal', ''))}</td><td>${escapeHtml(description)}</td></tr>`,
  );
  return `<details class="statuses"><summary>What the statuses of refusals mean</summary><table><thead><tr><th>Status</th><th>Meaning</th></tr></thead><tbody>${rows.join('')}</tbody></table></details>`;
}

function section(
  document: DocumentOfApi,
  { name, description }: DocumentOfApi['tags'][number],
  routes: readonly Route[],
): string {
  const articles = routes.map((route) => article(document, route)).join('');
  return `<section id="${anchorOf(name)}"><h2>${escapeHtml(name)}</h2><p>${escapeHtml(description)}</p>${articles}</section>`;
}

function article(document: DocumentOfApi, { method, path, told }: Route): string {
  const { operationId: id, summary, description, parameters = [], requestBody, responses } = told;
  const steps = path
    .split('/')
    .map((step) => (step.startsWith('{') ? `<i>${escapeHtml(step)}</i>` : escapeHtml(step)))
    .join('/<wbr>');
  return `<article id="${id}">
<h3><a href="#${id}">${escapeHtml(summary)}</a></h3>
<p class="route">${badge(method)}<code>${steps}</code></p>
${description === undefined ? '' : `<p>${marked(description)}</p>`}
${parameterTable(parameters)}
${Object.entries(requestBody?.content ?? {})
  .map(([type, { schema }]) => body(document, type, schema))
  .join('')}
${Object.entries(responses)
  .map(([status, response]) => success(status, response))
  .join('')}
<p class="refusals">Refusals: ${Object.entries(responses)
    .filter(([, { $ref }]) => $ref !== undefined)
    .map(([status]) => code(status))
    .join(' ')}</p>
<pre>${escapeHtml(exampleOf(document, { method, path, told }))}</pre>
</article>`;
}

/** A body has a name for programs; for people it stands with its route. */
function body({ components }: DocumentOfApi, type: string, schema: SchemaInDocument): string {
  const name = nameOf(schema);
  const named = components.schemas[name] ?? schema;
  return membersTable(named, { title: `Body, ${type}`, marks: 'required', ...(name !== '' && { id: name }) });
}

function parameterTable(parameters: readonly ParameterInDocument[]): string {
  if (parameters.length === 0) return '';
  const inOrder = ['path', 'query', 'header'].flatMap((place) => parameters.filter((each) => each.in === place));
  const rows = inOrder.map(({ name, schema, description, required, in: place }) =>
    row({ name, member: schema, description, mark: required === true && place !== 'path' ? 'required' : '', place }),
  );
  return `<table><caption>Parameters</caption><thead><tr><th>Name</th><th>Type</th><th>What it is</th></tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function success(status: string, { $ref, content }: ResponseInDocument): string {
  const schema = content?.['application/json']?.schema;
  if ($ref !== undefined || schema === undefined) return '';
  return schema.$ref === undefined
    ? membersTable(schema, { title: `Answer ${status}`, marks: 'optional' })
    : `<p class="plain">Answer ${status}: ${kindOf(schema)}</p>`;
}

function object(name: string, schema: SchemaInDocument): string {
  const table =
    schema.properties === undefined
      ? `<p class="plain">${kindOf(schema)}</p>`
      : membersTable(schema, { title: 'Members', marks: 'optional' });
  const told = schema.description === undefined ? '' : `<p>${marked(schema.description)}</p>`;
  return `<article id="${escapeHtml(name)}"><h3><a href="#${escapeHtml(name)}">${escapeHtml(name)}</a></h3>${told}${table}</article>`;
}

function exampleOf({ servers }: DocumentOfApi, { method, path, told }: Route): string {
  const example = told.requestBody?.content['application/json']?.example;
  const address = `${servers[0]?.url ?? ''}${path.replaceAll(/\{([^}]*)\}/g, '<$1>')}`;
  const lines = [
    `curl ${method === 'GET' ? '' : `-X ${method} `}"${address}"`,
    '-H "Authorization: Bearer $API_KEY"',
    ...(example === undefined
      ? []
      : ['-H "Content-Type: application/json"', `-d '${JSON.stringify(example, null, 2).replaceAll("'", "'\\''")}'`]),
  ];
  return lines.join(' \\\n  ');
}

function badge(method: string): string {
  return `<span class="method ${method.toLowerCase()}">${method}</span>`;
}

function anchorOf(tag: string): string {
  return `tag-${tag.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`;
}

function marked(text: string): string {
  return escapeHtml(text).replace(/`([^`]*)`/g, '<code>$1</code>');
}
