export interface HiddenContent {
  readonly start: number;
  readonly text: string;
}

/**
 * The markup inside a conditional comment that Outlook reads and other clients do not
 * (`<!--[if mso]> … <![endif]-->`), or null for every other comment. A revealed block (`<!--[if !mso]><!-->`) has next
 * to none: its content follows the comment as ordinary HTML. `[start, end)` is the whole comment.
 */
export function hiddenContent(html: string, start: number, end: number): HiddenContent | null {
  const content = start + 4;
  if (html.charCodeAt(content) !== 0x5b) return null;
  // Cut out first: a search in the whole mail would run to its end once per comment.
  const comment = html.slice(content, end - 3);
  if (!/^\[if[\s(!]/i.test(comment)) return null;
  const condition = comment.indexOf(']>');
  return condition === -1 ? null : { start: content + condition + 2, text: comment.slice(condition + 2) };
}
