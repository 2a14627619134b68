// What a reader's mail program would send back: the original quoted below the answer, pixel and links included.
import { type Static, Type } from '@sinclair/typebox';
import type { Email } from 'postal-mime';
import { invalid } from '../errors.ts';
import { uuidv7 } from '../ids.ts';
import { composeWhole, messageIdHeader, type Person, threadOf } from '../send/compose.ts';
import { plainText } from '../snippet.ts';
import { HeaderSchema, headers, PersonSchema, person } from './mail-fields.ts';
import { escapeHtml, persons, textOf } from './practice-view.ts';

const FromSchema = Type.Union([Type.String(), PersonSchema, Type.Array(PersonSchema, { minItems: 1, maxItems: 1 })]);

export const ReplyBody = Type.Object(
  {
    text: Type.Optional(Type.String()),
    html: Type.Optional(Type.String()),
    /** An address, a person, or a list of one person as everywhere in the API. */
    from: Type.Optional(FromSchema),
    /** Such as [{"name": "Auto-Submitted", "value": "auto-replied"}], or an object of names and values. */
    headers: Type.Optional(
      Type.Union([
        Type.Array(HeaderSchema),
        Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: { type: 'string' } }),
      ]),
    ),
    /** False: nothing of the original is quoted. */
    quote: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
export type ReplyBody = Static<typeof ReplyBody>;

export interface Reply {
  readonly messageId: string;
  readonly from: Person;
  readonly raw: Buffer;
}

/** An answer to a sent mail. `recipients` are those of its envelope: a mail may have nobody in To. */
export async function composeReply(original: Email, recipients: readonly string[], body: ReplyBody): Promise<Reply> {
  if (body.text === undefined && body.html === undefined) throw invalid('text', 'is required (or html)');
  const from = senderOf(body) ?? persons(original.to)[0] ?? { email: recipients[0] ?? 'reader@practice.test' };
  const authors = persons(original.replyTo?.length ? original.replyTo : original.from ? [original.from] : []);
  const answered = original.messageId;
  const given = body.headers ?? [];
  const customHeaders = headers(
    'headers',
    Array.isArray(given) ? given : Object.entries(given).map(([name, value]) => ({ name, value })),
    answered !== undefined,
  );
  const messageId = messageIdHeader(uuidv7(), from.email);
  const subject = original.subject ?? '';
  const raw = await composeWhole({
    messageId,
    date: new Date(),
    from,
    to: authors,
    cc: [],
    replyTo: [],
    subject: /^re:/i.test(subject) ? subject : `Re: ${subject}`,
    body: htmlAnswer(original, body),
    isPlaintext: false,
    alternative: plainAnswer(original, body),
    attachments: [],
    customHeaders,
    ancestors: answered === undefined ? [] : threadOf(ancestorsOf(original), answered),
  });
  return { messageId, from, raw };
}

function senderOf({ from }: ReplyBody): Person | null {
  if (from === undefined) return null;
  const one = typeof from === 'string' ? { email: from } : Array.isArray(from) ? from[0] : from;
  return one === undefined ? null : person('from.', one);
}

function ancestorsOf(original: Email): string[] {
  return original.references?.match(/<[^<>\s]+>/g) ?? [];
}

function htmlAnswer(original: Email, { text = '', html, quote = true }: ReplyBody): string {
  const answer = html ?? `<div>${escapeHtml(text).replace(/\r?\n/g, '<br>')}</div>`;
  if (!quote) return answer;
  const quoted = original.html ?? `<pre>${escapeHtml(original.text ?? '')}</pre>`;
  return `${answer}<br><div class="quote"><div>${escapeHtml(attribution(original))}</div><blockquote style="margin:0 0 0 .8ex;border-left:1px solid #ccc;padding-left:1ex">${quoted}</blockquote></div>`;
}

function plainAnswer(original: Email, { text = '', html, quote = true }: ReplyBody): string {
  const answer = text || plainText(html ?? '');
  if (!quote) return answer;
  const quoted = textOf(original)
    .split(/\r?\n/)
    .map((line) => `> ${line}`);
  return `${answer}\n\n${attribution(original)}\n${quoted.join('\n')}\n`;
}

function attribution(original: Email): string {
  const author = persons(original.from ? [original.from] : [])[0];
  const date = new Date(original.date ?? Number.NaN);
  const when = Number.isNaN(date.getTime()) ? 'an earlier day' : date.toUTCString().replace(/:\d\d GMT$/, ' UTC');
  return `On ${when}, ${author?.name ?? author?.email ?? 'you'} wrote:`;
}
