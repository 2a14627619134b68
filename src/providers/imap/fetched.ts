import type { FetchMessageObject, ImapFlow } from 'imapflow';
import type { ImapCompileNode } from 'imapflow/lib/handler/types.js';
import { formatMessageResponse, packMessageRange } from 'imapflow/lib/tools.js';
import { atom, type Wire } from './wire.ts';

/** Of each mail's fields; the rest of a longer head is looked at without the fields that grow without bound. */
export const LONGEST_HEAD = 65_536;

/** What is asked of every mail that is to be placed: its number, flags, dates and, where the server knows such, thread and labels. */
export function marks({ capabilities }: Pick<ImapFlow, 'capabilities'>): ImapCompileNode[] {
  const gmail = capabilities.has('X-GM-EXT-1');
  const names = ['UID', 'FLAGS', 'INTERNALDATE', 'RFC822.SIZE'];
  if (gmail) names.push('X-GM-THRID', 'X-GM-LABELS');
  else if (capabilities.has('OBJECTID')) names.push('THREADID'); // RFC 8474
  return names.map(atom);
}

/** The first bytes of a part, '' being the whole mail; it stays unread. */
export function beginningOf(part: string, most: number): ImapCompileNode {
  return {
    type: 'ATOM',
    value: 'BODY.PEEK',
    section: part === '' ? [] : [{ type: 'ATOM', value: part }],
    partial: [0, most],
  };
}

/** The same of some fields of the head; all of it with a server that knows no parts of them. */
export function fieldsOf({ knowsParts }: Wire, names: readonly string[]): ImapCompileNode {
  const list = names.map((name) => ({ type: 'ATOM', value: name.toUpperCase() }));
  return {
    type: 'ATOM',
    value: 'BODY.PEEK',
    section: [{ type: 'ATOM', value: 'HEADER.FIELDS' }, list],
    ...(knowsParts && { partial: [0, LONGEST_HEAD] }),
  };
}

/**
 * One UID FETCH in the selected folder, by UID. Mails that have gone, and those whose answer makes no sense, are missing.
 * Of heads not more than {@link LONGEST_HEAD} is kept, whatever comes.
 */
export async function fetchMails(
  wire: Wire,
  uids: readonly number[],
  items: readonly ImapCompileNode[],
): Promise<Map<number, FetchMessageObject>> {
  const asked = new Set(uids);
  const found = new Map<number, FetchMessageObject>();
  if (asked.size === 0) return found;
  const range = { type: 'SEQUENCE', value: packMessageRange([...uids]) };
  await wire.run('UID FETCH', [range, [...items]], {
    async FETCH(said) {
      const mail = await formatMessageResponse(said, unselected());
      if (mail.uid === undefined || !asked.has(mail.uid)) return;
      const { headers } = mail;
      if (headers && headers.length > LONGEST_HEAD) mail.headers = Buffer.from(headers.subarray(0, LONGEST_HEAD));
      // A server may say the same mail's flags once more.
      found.set(mail.uid, { ...found.get(mail.uid), ...mail });
    },
  });
  return found;
}

/** What imapflow would note UIDNEXT in. */
function unselected(): Parameters<typeof formatMessageResponse>[1] {
  return { path: '', delimiter: '', flags: new Set(), uidValidity: 0n, uidNext: 0, exists: 0 };
}
