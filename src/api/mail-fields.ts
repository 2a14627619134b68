// What a caller may write into a mail, checked before anything is stored: each refusal names its field and the rule.
import { type Static, Type } from '@sinclair/typebox';
import { invalid } from '../errors.ts';
import type { Attachment, Header, Person } from '../send/compose.ts';

export const PersonSchema = Type.Object(
  { email: Type.String(), name: Type.Optional(Type.String()) },
  { title: 'Person' },
);
export const HeaderSchema = Type.Object({ name: Type.String(), value: Type.String() }, { title: 'Header' });
export const AttachmentSchema = Type.Object({
  id: Type.Optional(Type.String({ description: 'Not supported: refused.' })),
  filename: Type.Optional(Type.String()),
  content_type: Type.Optional(Type.String()),
  content: Type.Optional(Type.String({ description: 'Base64.' })),
  content_id: Type.Optional(Type.String({ description: 'Makes it inline: the body refers to it as cid:…' })),
  content_disposition: Type.Optional(Type.String({ description: 'inline or attachment' })),
  is_inline: Type.Optional(Type.Boolean()),
});

const CONTROL = /\p{Cc}/u;
const ADDRESS = /^[^\s\p{Cc}@"(),:;<>[\]\\]+@[^\s\p{Cc}@"(),:;<>[\]\\]+$/u;
const LONGEST_ADDRESS = 320; // RFC 3696 section 3: 64 @ 255
const LONGEST_HEADER = 8000;
const HEADER_NAME = /^[!-9;-~]{1,76}$/; // RFC 5322 section 2.2: ftext
/** Fields that a mail has once, or that say how it is put together, signed or was carried. */
const OWN_HEADERS =
  /^(from|sender|to|cc|bcc|reply-to|subject|date|message-id|mime-version|content-.*|received|return-path|delivered-to|resent-.*|dkim-signature|domainkey-signature|arc-.*|authentication-results|received-spf)$/i;
const THREAD_HEADERS = /^(in-reply-to|references)$/i;
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+(;[^\p{Cc}]*)?$/iu;
const CONTENT_ID = /^[!-;=?-~]{1,250}$/;
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

export function people(field: string, list: readonly Static<typeof PersonSchema>[] | undefined): Person[] {
  return (list ?? []).map((given, index) => person(`${field}[${index}].`, given));
}

/** `prefix` is what stands before `email` and `name` in a refusal, such as `to[0].`. */
export function person(prefix: string, { email, name }: Static<typeof PersonSchema>): Person {
  if (email.length > LONGEST_ADDRESS || !ADDRESS.test(email)) {
    throw invalid(`${prefix}email`, 'must be an address such as name@example.com');
  }
  if (name !== undefined) oneLine(`${prefix}name`, name);
  return { email, ...(name && { name }) };
}

/** Text that becomes a header: a line break in it would begin another one. */
export function oneLine(field: string, text: string): string {
  if (CONTROL.test(text)) throw invalid(field, 'must not contain line breaks or other control characters');
  return text;
}

export function headers(
  field: string,
  list: readonly Static<typeof HeaderSchema>[] | undefined,
  threadKnown: boolean,
): Header[] {
  return (list ?? []).map(({ name, value }, index) => {
    const at = `${field}[${index}]`;
    if (!HEADER_NAME.test(name)) {
      throw invalid(`${at}.name`, 'must have 1 to 76 visible ASCII characters and no colon');
    }
    if (OWN_HEADERS.test(name)) throw invalid(`${at}.name`, `must not be ${name}: the service writes that header`);
    if (threadKnown && THREAD_HEADERS.test(name)) {
      throw invalid(`${at}.name`, `must not be ${name} together with reply_to_message_id, which writes that header`);
    }
    if (value.length > LONGEST_HEADER) {
      throw invalid(`${at}.value`, `must have at most ${LONGEST_HEADER} characters`);
    }
    return { name, value: oneLine(`${at}.value`, value) };
  });
}

export function attachments(list: readonly Static<typeof AttachmentSchema>[] | undefined): Attachment[] {
  return (list ?? []).map((given, index) => {
    const at = (member: string): string => `attachments[${index}].${member}`;
    if (given.id !== undefined && given.id !== '' && given.content === undefined) {
      throw invalid(at('id'), 'is not supported: send the content, or the file as multipart/form-data');
    }
    if (given.content === undefined) throw invalid(at('content'), 'is required');
    return {
      ...described(at, given, index + 1),
      content: fromBase64(at('content'), given.content),
      isInline: isInline(at('content_disposition'), given),
    };
  });
}

interface Description {
  readonly filename?: string | undefined;
  readonly content_type?: string | undefined;
  readonly content_id?: string | undefined;
}

/** What is said of the attachment that is the `number`th; `at` names a member of it in a refusal. */
export function described(
  at: (member: keyof Description) => string,
  given: Description,
  number: number,
): Pick<Attachment, 'filename' | 'contentType' | 'contentId'> {
  const filename = oneLine(at('filename'), given.filename || `attachment-${number}`);
  const contentType = given.content_type || 'application/octet-stream';
  if (!MEDIA_TYPE.test(contentType) || /^multipart\//i.test(contentType)) {
    throw invalid(at('content_type'), 'must be a media type such as application/pdf, and not multipart');
  }
  const contentId = given.content_id?.replace(/^<(.*)>$/, '$1');
  if (contentId && !CONTENT_ID.test(contentId)) {
    throw invalid(at('content_id'), 'must have at most 250 visible ASCII characters and no angle brackets');
  }
  return { filename, contentType, ...(contentId && { contentId }) };
}

/** With line breaks or without, padded or not, also URL-safe: encoders differ. */
function fromBase64(field: string, text: string): Buffer {
  const compact = text.replace(/[\r\n\t ]+/g, '');
  const data = compact.replace(/=+$/, '');
  if (!BASE64.test(compact) || data.length % 4 === 1) throw invalid(field, 'must be base64');
  return Buffer.from(data, 'base64');
}

function isInline(field: string, given: Static<typeof AttachmentSchema>): boolean {
  const disposition = given.content_disposition?.split(';', 1)[0]?.trim().toLowerCase();
  if (disposition && disposition !== 'inline' && disposition !== 'attachment') {
    throw invalid(field, 'must be inline or attachment');
  }
  if (disposition) return disposition === 'inline';
  return given.is_inline ?? Boolean(given.content_id);
}
