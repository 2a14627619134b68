import { decodeHTML } from 'entities';

const LENGTH = 100;

/** The first 100 characters of a body as a reader sees it: tags, comments and styles stripped, white space collapsed. */
export function snippet(body: string, isPlaintext: boolean): string {
  let text = '';
  for (const piece of isPlaintext ? [body] : textOf(body)) {
    text = collapsed(text + piece);
    if (text.length > 2 * LENGTH) break; // a character outside the BMP is two units
  }
  return [...text.trim()].slice(0, LENGTH).join('').trimEnd();
}

/** The text of an HTML body, its paragraphs and rows on lines of their own. */
export function plainText(html: string): string {
  const pieces = [...textOf(html)].map((piece) => (piece === BREAK ? BREAK : piece.replace(/\s+/g, ' ')));
  return pieces
    .join('')
    .replace(/ {2,}/g, ' ')
    .replace(/ ?\n ?/g, BREAK)
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

const BREAK = '\n';
const HIDDEN = /^<(style|script|title)[\s/>]/i;
const BREAKS = /^<\/?(?:p|div|br|hr|h[1-6]|li|ul|ol|table|tr|td|th|blockquote|pre|center|body)[\s/>]/i;

/** Every search starts where the last one ended, so a hostile body costs one pass. */
function* textOf(html: string): Generator<string> {
  let at = 0;
  while (at < html.length) {
    const tag = nextTag(html, at);
    if (tag > at) yield decodeHTML(html.slice(at, tag));
    if (tag >= html.length) return;
    const head = html.slice(tag, tag + 14);
    const hidden = HIDDEN.exec(head)?.[1];
    if (BREAKS.test(head)) yield BREAK;
    const end = head.startsWith('<!--')
      ? after(html, '-->', tag + 4)
      : hidden
        ? after(html, '>', closing(html, hidden, tag))
        : after(html, '>', tag);
    if (end < 0) return;
    at = end;
  }
}

function nextTag(html: string, from: number): number {
  for (let at = html.indexOf('<', from); at >= 0; at = html.indexOf('<', at + 1)) {
    if (/[a-z/!?]/i.test(html[at + 1] ?? '')) return at;
  }
  return html.length;
}

function closing(html: string, name: string, from: number): number {
  const pattern = new RegExp(`</${name}[\\s/>]`, 'gi');
  pattern.lastIndex = from;
  return pattern.exec(html)?.index ?? html.length;
}

function after(html: string, mark: string, from: number): number {
  const at = html.indexOf(mark, from);
  return at < 0 ? -1 : at + mark.length;
}

function collapsed(text: string): string {
  return text.replace(/\s+/g, ' ').trimStart();
}
