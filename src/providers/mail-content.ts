import { parseHead } from './mail-head.ts';
import { partSize, partText } from './mime-body.ts';
import { type MimePart, mimeParts } from './mime-parts.ts';
import { type ContentAttachment, LONGEST_BODY, type MailContent } from './watch.ts';

/** What a mail says by itself, wherever it lies. */
export type ParsedContent = Pick<MailContent, 'head' | 'html' | 'text' | 'attachments'>;

const LONGEST_HEAD = 128 * 1024;
export const LONGEST_NAME = 500;

/**
 * Reads a whole mail. Never throws, and takes time linear in it. Mails within the mail are attachments, and nothing of
 * them is in the bodies; neither is a text that has a file name. Attachments are named as IMAP numbers their parts.
 *
 * postal-mime is not used here: a text of many short lines or a broken base64 takes it 10 to 20 us per line or byte,
 * minutes for 25 MB, and it turns one body into the other where the mail has only one of them.
 */
export function parseContent(raw: Buffer): ParsedContent {
  const parts = mimeParts(raw);
  const isBody = (part: MimePart): boolean => bodyTypes.has(part.type.value) && !isFile(part);
  return {
    head: parseHead(raw.subarray(0, LONGEST_HEAD)),
    html: body(parts, 'text/html'),
    text: body(parts, 'text/plain'),
    attachments: parts.filter((part) => !isBody(part)).map(attachment),
  };
}

const bodyTypes = new Set(['text/html', 'text/plain']);

function isFile(part: MimePart): boolean {
  return part.disposition.value === 'attachment' || filename(part) !== '';
}

function body(parts: readonly MimePart[], type: string): string | null {
  let text = '';
  for (const part of parts) {
    if (part.type.value !== type || isFile(part) || text.length >= LONGEST_BODY) continue;
    text += `${text === '' ? '' : '\n'}${partText(part, LONGEST_BODY)}`;
  }
  return /\S/.test(text) ? text.slice(0, LONGEST_BODY).toWellFormed() : null;
}

function attachment(part: MimePart): ContentAttachment {
  const { path, type, disposition, isRelated } = part;
  const contentId = shownLine(part.contentId).replace(/^<|>$/g, '');
  return {
    part: path,
    filename: filename(part),
    contentType: shownLine(type.value),
    size: partSize(part),
    isInline: disposition.value === 'inline' || (isRelated && contentId !== '' && disposition.value !== 'attachment'),
    contentId: contentId || null,
    contentDisposition: shownLine(disposition.value) || null,
  };
}

function filename({ disposition, type }: MimePart): string {
  return shownLine(disposition.parameters.get('filename') ?? type.parameters.get('name') ?? '');
}

/** What a stranger named something, fit to be shown: one line, not long. */
export function shownLine(text: string): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, LONGEST_NAME)
    .toWellFormed();
}
