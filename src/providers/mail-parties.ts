import { addressParser } from 'postal-mime';
import { inUtf8Words } from '../encoded-words.ts';
import type { MailParty } from './watch.ts';

/** More than this nobody writes by hand; lists write one. */
export const MOST_PARTIES = 500;
const LONGEST_ENTRY = 1000;
const LONGEST_ADDRESS = 320;
const LONGEST_NAME = 500;

/**
 * The people of an address field, members of groups one by one, who have an address: at most {@link MOST_PARTIES}.
 *
 * The list is taken apart here and each entry is read by `addressParser`: given the whole, that one reads the rest of
 * the field again for each of fifty groups within groups, a fifth of a second for 128 kB.
 */
export function mailParties(field: string): MailParty[] {
  const parties: MailParty[] = [];
  for (const entry of entries(field)) {
    const short = entry.length <= LONGEST_ENTRY ? entry : addressPart(entry);
    for (const { name, address } of addressParser(inUtf8Words(short), { flatten: true }).flatMap(
      (one) => one.group ?? [one],
    )) {
      const party = partyOf(name, address);
      if (party !== null && parties.length < MOST_PARTIES) parties.push(party);
    }
    if (parties.length >= MOST_PARTIES) break;
  }
  return parties;
}

/** As `From: MAILER-DAEMON (Mail Delivery System)` has it: one word alone is an address of the server's own. */
const LOCAL_USER = /^[^\s@<>",;:()]+$/;

function partyOf(name: string, address: string): MailParty | null {
  const [shown, email] = [oneLine(name), oneLine(address)];
  if (email === '') return LOCAL_USER.test(shown) ? partyOf('', shown) : null;
  if (email.length > LONGEST_ADDRESS) return null;
  return { name: shown.slice(0, LONGEST_NAME).toWellFormed(), email };
}

function addressPart(entry: string): string {
  return entry.slice(entry.lastIndexOf('<')).slice(0, LONGEST_ENTRY);
}

function oneLine(text: string): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .toWellFormed();
}

/** What stands between commas, without the names of groups: RFC 5322 section 3.4, each character looked at once. */
function* entries(field: string): Generator<string> {
  let start = 0;
  let until = ''; // the character that ends a quoted text or an address in angle brackets
  let depth = 0; // of comments
  for (let at = 0; at < field.length; at += 1) {
    const character = field.charAt(at);
    if (character === '\\' && (until === '"' || depth > 0)) at += 1;
    else if (until !== '') until = character === until ? '' : until;
    else if (character === '(') depth += 1;
    else if (character === ')') depth = Math.max(0, depth - 1);
    else if (depth > 0) continue;
    else if (character === '"') until = '"';
    else if (character === '<') until = '>';
    else if (character === ':') start = at + 1;
    else if (character === ',' || character === ';') {
      if (at > start) yield field.slice(start, at);
      start = at + 1;
    }
  }
  if (start < field.length) yield field.slice(start);
}
