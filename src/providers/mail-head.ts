import { decodeWords } from '../encoded-words.ts';
import { type HeadField, headFields } from './head-fields.ts';
import { mailDate } from './mail-date.ts';
import { MOST_PARTIES, mailParties } from './mail-parties.ts';
import { HEAD_FIELDS, type MailHead, type MailParty } from './watch.ts';

const LONGEST_ID = 998; // a header line, RFC 5322 section 2.1.1
const OLDEST_IDS = 20;
const NEWEST_IDS = 180;
const LONGEST_SUBJECT = 2000;
/** Joining encoded words takes the square of their number: 4 ms for so many. */
const LONGEST_WORDS = 8000;
const LONGEST_VALUE = 10_000;
const MOST_OF_A_FIELD = 20;
const MOST_OTHERS = 300;
const READ = new Set(HEAD_FIELDS);

/**
 * Reads a header block, which may end anywhere. Never throws and takes linear time, whatever it holds: callers give it
 * at most 64 kB all the same. Of a field that may stand once only, the first one counts.
 */
export function parseHead(block: Buffer): MailHead {
  const found = new Map<string, string[]>();
  const fields: HeadField[] = [];
  let others = 0;
  for (const [name, value] of headFields(block)) {
    if (READ.has(name)) {
      const values = found.get(name) ?? [];
      if (values.length >= MOST_OF_A_FIELD) continue;
      found.set(name, [...values, value]);
    } else {
      others += 1;
      if (others > MOST_OTHERS) continue;
    }
    fields.push([name, value.slice(0, LONGEST_VALUE).toWellFormed()]);
  }
  const all = (name: string): readonly string[] => found.get(name) ?? [];
  const first = (name: string): string => all(name)[0] ?? '';
  const people = (name: string): MailParty[] => all(name).flatMap(mailParties).slice(0, MOST_PARTIES);
  return {
    messageId: messageIds(first('message-id'))[0] ?? null,
    inReplyTo: messageIds(all('in-reply-to').join(' ')),
    references: messageIds(all('references').join(' ')),
    subject: decoded(first('subject'), LONGEST_SUBJECT),
    from: mailParties(first('from')),
    sender: mailParties(first('sender')),
    to: people('to'),
    cc: people('cc'),
    bcc: people('bcc'),
    replyTo: people('reply-to'),
    writtenAt: mailDate(first('date')),
    fields,
  };
}

/**
 * The message ids of a field's value, with angle brackets, in their order; of more than 200 the first 20 and the last
 * 180. White space within one, where a gateway folded it, is taken out. A value that is one id without brackets counts.
 */
export function messageIds(text: string): string[] {
  const oldest: string[] = [];
  const newest: string[] = [];
  for (const [, inside = ''] of text.matchAll(/<([^<>]*)>/g)) {
    const id = inside.length <= LONGEST_ID ? idOf(inside) : null;
    if (id === null) continue;
    if (oldest.length < OLDEST_IDS) oldest.push(id);
    else newest.push(id);
    if (newest.length >= 2 * NEWEST_IDS) newest.splice(0, NEWEST_IDS);
  }
  if (oldest.length === 0) {
    const bare = text.length <= LONGEST_ID && !/[<>\s]/.test(text.trim()) ? idOf(text) : null;
    return bare === null ? [] : [bare];
  }
  return [...oldest, ...newest.slice(-NEWEST_IDS)];
}

function idOf(inside: string): string | null {
  const id = inside.replace(/\s+/g, '');
  const at = id.indexOf('@');
  return at > 0 && at < id.length - 1 && id.length + 2 <= LONGEST_ID && !/\p{Cc}/u.test(id) ? `<${id}>` : null;
}

function decoded(value: string, longest: number): string {
  return decodeWords(value.slice(0, LONGEST_WORDS))
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, longest)
    .toWellFormed();
}
