import type { Sql } from '../db/pool.ts';
import type { Grant } from './grants.ts';
import { isAddress, MOST_ALIASES } from './imap-lists.ts';

type Owner = Pick<Grant, 'app' | 'id' | 'email' | 'aliases'>;

/**
 * Keeps an address that was really sent from as one of the grant's own. Asks the database for nothing where the address
 * is known, is the grant's with a `+tag`, or there is no room for another. False where nothing changed. Tells nobody:
 * it is no change that somebody made.
 */
export async function learnAlias(sql: Sql, grant: Owner, address: string): Promise<boolean> {
  const alias = address.trim().toLowerCase();
  const known = [grant.email.toLowerCase(), ...grant.aliases];
  if (!isAddress(alias) || known.includes(alias) || known.includes(untagged(alias))) return false;
  if (grant.aliases.length >= MOST_ALIASES) return false;
  const rows = await sql`
    update grants set aliases = array_append(aliases, ${alias})
    where app = ${grant.app} and id = ${grant.id} and state <> 'deleted'
      and not (aliases @> ${[alias]}::text[]) and cardinality(aliases) < ${MOST_ALIASES}
    returning 1`;
  return rows.length > 0;
}

/** RFC 5233: what most servers deliver to the same mailbox. */
function untagged(address: string): string {
  const at = address.lastIndexOf('@');
  const plus = address.indexOf('+');
  return plus > 0 && plus < at ? address.slice(0, plus) + address.slice(at) : address;
}
