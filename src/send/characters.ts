// Character codes the HTML tokenizer branches on.
export const TAB = 0x09;
export const LINE_FEED = 0x0a;
export const FORM_FEED = 0x0c;
export const CARRIAGE_RETURN = 0x0d;
export const SPACE = 0x20;
export const EXCLAMATION = 0x21;
export const DOUBLE_QUOTE = 0x22;
export const SINGLE_QUOTE = 0x27;
export const HYPHEN = 0x2d;
export const SLASH = 0x2f;
export const LESS_THAN = 0x3c;
export const EQUALS = 0x3d;
export const GREATER_THAN = 0x3e;
export const QUESTION = 0x3f;

/** ASCII white space. CR counts: the standard turns it into LF before tokenizing. */
export function isSpace(code: number): boolean {
  if (code > SPACE) return false;
  return code === SPACE || code === LINE_FEED || code === TAB || code === CARRIAGE_RETURN || code === FORM_FEED;
}

export function isLetter(code: number): boolean {
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x7a && code < 0x80;
}

/** True where a tag name ends. */
export function endsName(code: number): boolean {
  if (code > GREATER_THAN) return false;
  return code === GREATER_THAN || code === SLASH || isSpace(code);
}

/** Whether the text at `at` is `name` in any case; `name` is lower-case ASCII letters only. */
export function matchesName(html: string, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    if ((html.charCodeAt(at + i) | 0x20) !== name.charCodeAt(i)) return false;
  }
  return true;
}
