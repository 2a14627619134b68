import { endsName, HYPHEN, LESS_THAN, matchesName, SLASH } from './characters.ts';
import { newTagTail, readTagTail } from './tag-attributes.ts';

const tail = newTagTail();

/**
 * Skips the content of a raw text element (title, textarea, style, xmp, iframe, noembed, noframes) with its end tag.
 * Returns the index after the end tag, or -1 when the element swallows the rest of the input.
 */
export function skipRawText(html: string, from: number, name: string): number {
  for (let at = html.indexOf('</', from); at !== -1; at = html.indexOf('</', at + 2)) {
    if (isTagName(html, at + 2, name)) return readTagTail(html, at + 2 + name.length, '', tail);
  }
  return -1;
}

/** Skips a script with its end tag, through the escaped (`<!--`) and double escaped (`<!-- <script`) states. */
export function skipScript(html: string, from: number): number {
  let at = from;
  while (at < html.length) {
    at = html.indexOf('<', at);
    if (at === -1) return -1;
    if (closesScript(html, at)) return readTagTail(html, at + 8, '', tail);
    if (!html.startsWith('<!--', at)) {
      at++;
      continue;
    }
    const left = leaveEscaped(html, at + 2);
    if (left === -1) return -1;
    if (html.charCodeAt(left) === LESS_THAN) return readTagTail(html, left + 8, '', tail);
    at = left;
  }
  return -1;
}

/** From the dashes of `<!--`: the index after the `-->` that ends the escape, that of the `</script` that ends all, or -1. */
function leaveEscaped(html: string, from: number): number {
  let double = false;
  for (let i = from; i < html.length; i++) {
    const code = html.charCodeAt(i);
    if (code === HYPHEN) {
      // One index back, so that the caller goes on at the `>` and never sees a `<` there.
      if (html.startsWith('-->', i)) return i + 2;
    } else if (code === LESS_THAN) {
      if (closesScript(html, i)) {
        if (!double) return i;
        double = false;
      } else if (!double && isTagName(html, i + 1, 'script')) double = true;
    }
  }
  return -1;
}

function closesScript(html: string, at: number): boolean {
  return html.charCodeAt(at + 1) === SLASH && isTagName(html, at + 2, 'script');
}

function isTagName(html: string, at: number, name: string): boolean {
  return matchesName(html, at, name) && endsName(html.charCodeAt(at + name.length));
}
