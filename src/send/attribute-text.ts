import { DOUBLE_QUOTE, SINGLE_QUOTE } from './characters.ts';

// Ends with a letter, digit or underscore: a trailing `/` reads as a self-closing tag to sloppy parsers, and trailing
// hyphens before the tag's `>` would end the conditional comment the tag may be in.
const NEEDS_ESCAPE = /[&<>"']/;
const SAFE_UNQUOTED = /^[\w\-./:~?%+,@!$*()#;]*\w$/;

/**
 * `value` written as the attribute value that starts at `valueStart` of `html`, with the quotes found there. An
 * unquoted value stays so if it can, else it gets quotes. Never holds `>`, so it cannot end a comment.
 */
export function attributeText(value: string, html: string, valueStart: number): string {
  const code = html.charCodeAt(valueStart - 1);
  if (code === DOUBLE_QUOTE || code === SINGLE_QUOTE) return escaped(value);
  return SAFE_UNQUOTED.test(value) ? value : quotedValue(value);
}

export function quotedValue(value: string): string {
  return `"${escaped(value)}"`;
}

function escaped(value: string): string {
  if (!NEEDS_ESCAPE.test(value)) return value;
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
