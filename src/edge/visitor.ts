import { clientAddress, type Ranges } from '../addresses.ts';
import type { NewHit } from '../tracking/hit.ts';
import type { TrackedRequest } from './answer.ts';

/** What a request says about who made it. */
export interface Visitor extends Omit<NewHit, 'identity'> {
  /** A browser is opening the address in a tab. */
  readonly navigates: boolean;
}

const AHEAD = /prefetch|preview|prerender/i;

/** Reads the few headers that matter in one pass; `req.headers` would build an object of all of them. */
export function readVisitor({ method, rawHeaders, peer }: TrackedRequest, trusted: Ranges): Visitor {
  let userAgent = '';
  let forwardedFor = '';
  let fetchMode = '';
  let prefetch = false;
  let acceptLanguage = false;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const value = rawHeaders[i + 1] ?? '';
    switch (name.length) {
      case 5: // X-Moz
      case 7: // Purpose
      case 9: // X-Purpose
      case 11: // Sec-Purpose
        if (!prefetch && AHEAD.test(value)) prefetch = isPurpose(name.toLowerCase());
        break;
      case 10:
        if (userAgent === '' && name.toLowerCase() === 'user-agent') userAgent = value;
        break;
      case 14:
        if (name.toLowerCase() === 'sec-fetch-mode') fetchMode = value;
        break;
      case 15: {
        const lower = name.toLowerCase();
        if (lower === 'accept-language') acceptLanguage = true;
        else if (lower === 'x-forwarded-for') forwardedFor = forwardedFor === '' ? value : `${forwardedFor},${value}`;
      }
    }
  }
  return {
    method,
    prefetch,
    acceptLanguage,
    secFetchMode: fetchMode !== '',
    ip: clientAddress(peer, forwardedFor, trusted),
    userAgent,
    navigates: fetchMode === 'navigate',
  };
}

function isPurpose(name: string): boolean {
  return name === 'sec-purpose' || name === 'purpose' || name === 'x-purpose' || name === 'x-moz';
}
