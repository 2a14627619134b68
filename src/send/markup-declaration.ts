import { EXCLAMATION, GREATER_THAN, HYPHEN } from './characters.ts';

/** The end of the comment whose `<!--` is at `at`, or -1 when it swallows the rest of the input. */
export function commentEnd(html: string, at: number): number {
  const content = at + 4;
  const first = html.charCodeAt(content);
  if (first === GREATER_THAN) return content + 1;
  if (first === HYPHEN && html.charCodeAt(content + 1) === GREATER_THAN) return content + 2;
  for (let i = html.indexOf('--', content); i !== -1; i = html.indexOf('--', i + 1)) {
    const code = html.charCodeAt(i + 2);
    if (code === GREATER_THAN) return i + 3;
    if (code === EXCLAMATION && html.charCodeAt(i + 3) === GREATER_THAN) return i + 4;
  }
  return -1;
}

/** The end of anything that lasts to the next `>`: doctype, processing instruction, `<![if …]>`, `</ x`. */
export function bogusCommentEnd(html: string, from: number): number {
  return html.indexOf('>', from) + 1 || -1;
}

/** The end of the CDATA section at `at` (foreign content only). */
export function cdataEnd(html: string, at: number): number {
  const end = html.indexOf(']]>', at + 9);
  return end === -1 ? -1 : end + 3;
}
