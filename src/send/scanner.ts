import { EXCLAMATION, endsName, HYPHEN, isLetter, matchesName, QUESTION, SLASH } from './characters.ts';
import { bogusCommentEnd, cdataEnd, commentEnd } from './markup-declaration.ts';
import {
  breaksOut,
  enter,
  isIntegrationPoint,
  leave,
  leaveForeign,
  type Nesting,
  newNesting,
  templateStart,
} from './nesting.ts';
import { plainRunSkipper } from './plain-run.ts';
import { skipRawText, skipScript } from './raw-text.ts';
import { newTagTail, readTagTail, type TagTail } from './tag-attributes.ts';

/** What the scanner reports, in document order: HTML content outside templates only. Value ranges exclude the quotes. */
export interface Sightings {
  /** The first `href` of an `<a>` (or VML element). An absent one is not reported, an empty one is. */
  link(valueStart: number, valueEnd: number): void;
  /** An `<img>` tag with a `src`. */
  image(tagStart: number, tagEnd: number, valueStart: number, valueEnd: number): void;
  /** An ordinary or conditional comment, `<!--` and end included. Those without a `href` may be left out. */
  comment(start: number, end: number): void;
  bodyStart(tagEnd: number): void;
  bodyEnd(tagStart: number): void;
  htmlEnd(tagStart: number): void;
}

interface Walk {
  readonly html: string;
  readonly sees: Sightings;
  readonly vml: boolean;
  readonly nesting: Nesting;
  readonly tail: TagTail;
}

/**
 * Walks HTML by the standard's tokenizer rules, scripting off (mail), in one pass and linear time.
 * Returns the last index at which appended markup would still be seen: the end of the input, or the start of the
 * comment, tag, raw text element or template that swallows the rest. `vml` adds `href` of `v:*` elements to the links.
 */
export function scan(html: string, sees: Sightings, vml = false): number {
  const walk: Walk = { html, sees, vml, nesting: newNesting(), tail: newTagTail() };
  let at = 0;
  for (;;) {
    const isPlain = walk.nesting.open.length === 0 && !vml;
    at = isPlain ? skipPlainRun(html, at) : html.indexOf('<', at);
    if (at === -1 || at === html.length) return templateStart(walk.nesting, html.length);
    const next = markup(walk, at, html.charCodeAt(at + 1));
    if (next === -1) return templateStart(walk.nesting, at);
    at = next;
  }
}

/** Every function below returns the index to go on at, or -1 when the input ends inside what began at `at`. */
function markup(walk: Walk, at: number, code: number): number {
  if (isLetter(code)) return startTag(walk, at);
  if (code === SLASH) {
    const after = walk.html.charCodeAt(at + 2);
    return isLetter(after) ? endTag(walk, at) : bogusCommentEnd(walk.html, at + 2);
  }
  if (code === EXCLAMATION) return declaration(walk, at);
  if (code === QUESTION) return bogusCommentEnd(walk.html, at + 2);
  return at + 1;
}

function declaration(walk: Walk, at: number): number {
  const { html, nesting } = walk;
  if (html.charCodeAt(at + 2) === HYPHEN && html.charCodeAt(at + 3) === HYPHEN) {
    const end = commentEnd(html, at);
    if (end !== -1 && nesting.templates === 0) walk.sees.comment(at, end);
    return end;
  }
  if (nesting.content !== 'html' && html.startsWith('<![CDATA[', at)) return cdataEnd(html, at);
  return bogusCommentEnd(html, at + 2);
}

function startTag(walk: Walk, at: number): number {
  const { html, nesting, tail } = walk;
  let nameEnd = at + 2;
  while (nameEnd < html.length && !endsName(html.charCodeAt(nameEnd))) nameEnd++;
  if (nesting.content !== 'html') {
    const name = html.slice(at + 1, nameEnd).toLowerCase();
    if (!breaksOut(name) && !isStyledFont(walk, name, nameEnd)) return foreignTag(walk, at, name, nameEnd);
    leaveForeign(nesting);
  }
  const kind = kindOf(html, at + 1, nameEnd);
  const isLink = kind === 'a' || (walk.vml && isVml(html, at + 1));
  const end = readTagTail(html, nameEnd, isLink ? 'href' : kind === 'img' ? 'src' : '', tail);
  if (end === -1 || (kind === '' && !isLink)) return end;
  const inert = nesting.templates > 0;
  if (isLink) {
    if (!inert && tail.valueStart !== -1) walk.sees.link(tail.valueStart, tail.valueEnd);
    return end;
  }
  switch (kind) {
    case 'img':
      if (!inert && tail.valueStart !== -1) walk.sees.image(at, end, tail.valueStart, tail.valueEnd);
      return end;
    case 'body':
      if (!inert) walk.sees.bodyStart(end);
      return end;
    case 'svg':
    case 'math':
      if (!tail.selfClosing) enter(nesting, kind, kind, at);
      return end;
    case 'template':
      enter(nesting, kind, 'html', at);
      return end;
    case 'script':
      return skipScript(html, end);
    case 'plaintext':
      return -1;
    default:
      return skipRawText(html, end, kind);
  }
}

function foreignTag(walk: Walk, at: number, name: string, nameEnd: number): number {
  const { html, nesting, tail } = walk;
  const end = readTagTail(html, nameEnd, name === 'annotation-xml' ? 'encoding' : '', tail);
  if (end === -1 || tail.selfClosing) return end;
  enter(nesting, name, holdsHtml(walk, name) ? 'html' : nesting.content, at);
  return end;
}

function holdsHtml({ html, nesting, tail }: Walk, name: string): boolean {
  if (name !== 'annotation-xml') return isIntegrationPoint(nesting, name);
  const encoding = html.slice(Math.max(0, tail.valueStart), Math.max(0, tail.valueEnd)).toLowerCase();
  return nesting.content === 'math' && (encoding === 'text/html' || encoding === 'application/xhtml+xml');
}

function endTag(walk: Walk, at: number): number {
  const { html, nesting } = walk;
  let nameEnd = at + 3;
  while (nameEnd < html.length && !endsName(html.charCodeAt(nameEnd))) nameEnd++;
  const end = readTagTail(html, nameEnd, '', walk.tail);
  if (end === -1) return -1;
  if (nesting.open.length > 0) leave(nesting, html.slice(at + 2, nameEnd).toLowerCase());
  if (nameEnd - at === 6 && nesting.templates === 0) {
    if (matchesName(html, at + 2, 'body')) walk.sees.bodyEnd(at);
    else if (matchesName(html, at + 2, 'html')) walk.sees.htmlEnd(at);
  }
  return end;
}

/** `<font>` leaves foreign content only with one of these attributes. */
function isStyledFont(walk: Walk, name: string, nameEnd: number): boolean {
  if (name !== 'font') return false;
  return ['color', 'face', 'size'].some((wanted) => {
    readTagTail(walk.html, nameEnd, wanted, walk.tail);
    return walk.tail.valueStart !== -1;
  });
}

function isVml(html: string, at: number): boolean {
  return (html.charCodeAt(at) | 0x20) === 0x76 && html.charCodeAt(at + 1) === 0x3a;
}

type Kind =
  | ''
  | 'a'
  | 'img'
  | 'body'
  | 'svg'
  | 'math'
  | 'template'
  | 'script'
  | 'plaintext'
  | 'title'
  | 'textarea'
  | 'style'
  | 'xmp'
  | 'iframe'
  | 'noembed'
  | 'noframes';

const KINDS_BY_LENGTH: readonly (readonly Kind[])[] = [
  [],
  ['a'],
  [],
  ['img', 'svg', 'xmp'],
  ['body', 'math'],
  ['style', 'title'],
  ['script', 'iframe'],
  ['noembed'],
  ['template', 'textarea', 'noframes'],
  ['plaintext'],
];

const skipPlainRun = plainRunSkipper({ startTags: KINDS_BY_LENGTH.flat(), endTags: ['body', 'html'] });

/** The element's name when it means something to the scanner, else ''. */
function kindOf(html: string, start: number, end: number): Kind {
  const kinds = end - start < KINDS_BY_LENGTH.length ? KINDS_BY_LENGTH[end - start] : undefined;
  if (kinds === undefined) return '';
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i];
    if (kind !== undefined && matchesName(html, start, kind)) return kind;
  }
  return '';
}
