// Which parts of a mail are its bodies and which are attachments, by what the server says of its structure.
import type { MessageStructureObject } from 'imapflow';
import { decodeWords } from '../../encoded-words.ts';
import { LONGEST_NAME, shownLine } from '../mail-content.ts';
import type { ContentAttachment } from '../watch.ts';

export interface TextPart {
  readonly part: string;
  readonly type: 'text/plain' | 'text/html';
  readonly charset: string;
  readonly encoding: string;
  /** Lines are to be joined (RFC 3676); '' for as they are. */
  readonly format: string;
  readonly delsp: string;
}

export interface Layout {
  readonly texts: readonly TextPart[];
  readonly attachments: readonly ContentAttachment[];
}

const MOST_TEXTS = 8;
const MOST_ATTACHMENTS = 1000;
/** Of base64, line ends included. */
const LINE = 78;

/** Mails within the mail are attachments as a whole. imapflow has bounded the depth. */
export function layoutOf(structure: MessageStructureObject): Layout {
  const texts: TextPart[] = [];
  const attachments: ContentAttachment[] = [];
  const walk = (node: MessageStructureObject, isRelated: boolean): void => {
    if (/^multipart\//.test(node.type)) {
      for (const child of node.childNodes ?? []) walk(child, node.type === 'multipart/related');
      return;
    }
    const text = textPart(node);
    if (text !== null && texts.length < MOST_TEXTS) texts.push(text);
    else if (attachments.length < MOST_ATTACHMENTS) attachments.push(attachment(node, isRelated));
  };
  walk(structure, false);
  return { texts, attachments };
}

function textPart(node: MessageStructureObject): TextPart | null {
  const { type, disposition, parameters = {}, encoding = '' } = node;
  if (type !== 'text/plain' && type !== 'text/html') return null;
  if (disposition === 'attachment' || nameOf(node) !== '') return null;
  const { charset = '', format = '', delsp = '' } = parameters;
  return { part: node.part ?? '1', type, charset, encoding, format, delsp };
}

function attachment(node: MessageStructureObject, isRelated: boolean): ContentAttachment {
  const { type, disposition = '', encoding = '', size = 0 } = node;
  return {
    part: node.part ?? '1',
    filename: nameOf(node),
    contentType: shownLine(type),
    size: encoding === 'base64' ? Math.floor(((size - 2 * Math.floor(size / LINE)) * 3) / 4) : size,
    isInline: disposition === 'inline' || (isRelated && disposition !== 'attachment'),
    contentId: shownLine(node.id ?? '').replace(/^<|>$/g, '') || null,
    contentDisposition: shownLine(disposition) || null,
  };
}

function nameOf({ dispositionParameters, parameters }: MessageStructureObject): string {
  return shownLine(decodeWords((dispositionParameters?.filename ?? parameters?.name ?? '').slice(0, 2 * LONGEST_NAME)));
}
