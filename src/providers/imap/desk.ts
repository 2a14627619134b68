import type { ImapCompileNode } from 'imapflow/lib/handler/types.js';
import { encodePath, formatDate } from 'imapflow/lib/tools.js';
import { mayPass } from './problem.ts';
import { atom, codeOf, Refused, textOf, type Wire } from './wire.ts';

/** The folder that is selected, as it was at that moment. */
export interface Opened {
  readonly path: string;
  readonly validity: string;
  /** 0 where the server did not say. */
  readonly uidNext: number;
  /** HIGHESTMODSEQ; '' where the server has none. */
  readonly modseq: string;
}

/** Keeps in mind which folder is selected. */
export interface Desk {
  readonly opened: Opened | null;
  /** Selects the folder, for reading alone, unless it is; null where there is none. */
  open(path: string): Promise<Opened | null>;
}

export function makeDesk(wire: Wire): Desk {
  let opened: Opened | null = null;
  return {
    get opened() {
      return opened;
    },
    async open(path) {
      if (opened?.path === path) return opened;
      opened = null; // a refusal leaves none selected
      let [validity, uidNext, modseq] = ['0', 0, ''];
      let counts = 0;
      try {
        await wire.run('EXAMINE', [folderNode(wire, path)], {
          OK(said) {
            const code = codeOf(said);
            if (code?.name === 'UIDVALIDITY') validity = validityOf(code.value);
            if (code?.name === 'UIDNEXT') uidNext = numberOf(code.value);
            if (code?.name === 'HIGHESTMODSEQ') modseq = modseqOf(code.value);
          },
          EXISTS(said) {
            wire.count = Number(said.command);
            counts += 1;
          },
        });
      } catch (error) {
        if (error instanceof Refused && error.failure.status === 'NO' && !mayPass(error.failure)) return null;
        throw error;
      }
      // Said twice, a mail may have come after UIDNEXT was said.
      opened = { path, validity, uidNext: counts > 1 ? 0 : uidNext, modseq };
      return opened;
    },
  };
}

/** The UIDs in the selected folder from `first` on, ascending. */
export async function uidsFrom(wire: Wire, first: number): Promise<number[]> {
  if (first > LAST_UID) return [];
  // `7:*` holds the last mail also where its number is lower.
  const uids = await searched(wire, [atom('UID'), { type: 'SEQUENCE', value: `${first}:*` }]);
  return uids.filter((uid) => uid >= first);
}

/** The UIDs of what was received since that day, ascending. */
export function uidsSince(wire: Wire, since: Date): Promise<number[]> {
  // A server reads the day in the time zone in which it noted the mail.
  const day = formatDate(new Date(since.getTime() - HALF_A_DAY_MS)) ?? '1-Jan-1970';
  return searched(wire, [atom('SINCE'), atom(day)]);
}

/** The UIDs of mails in whose Message-ID field one of these stands, ascending. */
export async function uidsOf(wire: Wire, messageIds: readonly string[]): Promise<number[]> {
  const uids = new Set<number>();
  for (let at = 0; at < messageIds.length; at += MOST_IN_A_SEARCH) {
    const some = messageIds.slice(at, at + MOST_IN_A_SEARCH);
    const criteria = some.map((id) => [atom('HEADER'), 'Message-ID', id]);
    const joined = [...criteria.slice(1).map(() => atom('OR')), ...criteria.flat()]; // OR OR a b c
    for (const uid of await searched(wire, joined)) uids.add(uid);
  }
  return [...uids].sort((one, other) => one - other);
}

/** The UIDs of mails in the selected folder that are marked to be removed, ascending. */
export function deletedUids(wire: Wire): Promise<number[]> {
  return searched(wire, [atom('DELETED')]);
}

/** RFC 9051 section 2.3.1.1. */
const LAST_UID = 4_294_967_295;
const HALF_A_DAY_MS = 43_200_000;
const MOST_IN_A_SEARCH = 10;

async function searched(wire: Wire, criteria: ImapCompileNode[]): Promise<number[]> {
  const uids = new Set<number>();
  await wire.run('UID SEARCH', criteria, {
    SEARCH({ attributes = [] }) {
      for (const token of attributes) {
        const uid = numberOf(textOf(token));
        if (uid > 0) uids.add(uid);
      }
    },
  });
  return [...uids].sort((one, other) => one - other);
}

export interface FolderState {
  readonly validity: string;
  readonly uidNext: number;
  readonly modseq: string;
}

/** Null where the server does not say, as for a folder that has gone. */
export async function stateOf(wire: Wire, path: string): Promise<FolderState | null> {
  let state: FolderState | null = null;
  try {
    await wire.run('STATUS', [folderNode(wire, path), asked(wire)], {
      STATUS({ attributes }) {
        state = readState(attributes?.[1]);
      },
    });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  return state;
}

/** Of every folder, by its name as it is listed (RFC 5819). */
export async function statesOfAll(wire: Wire): Promise<Map<string, FolderState>> {
  const states = new Map<string, FolderState>();
  await wire.run('LIST', ['', '*', atom('RETURN'), [atom('STATUS'), asked(wire)]], {
    LIST: () => {},
    STATUS({ attributes }) {
      const state = readState(attributes?.[1]);
      if (state !== null) states.set(textOf(attributes?.[0]), state);
    },
  });
  return states;
}

function asked({ client }: Wire): ImapCompileNode[] {
  const always = [atom('UIDNEXT'), atom('UIDVALIDITY')];
  return client.capabilities.has('CONDSTORE') ? [...always, atom('HIGHESTMODSEQ')] : always;
}

function readState(list: unknown): FolderState | null {
  if (!Array.isArray(list)) return null;
  const texts = list.map(textOf);
  const after = (name: string): string => texts[texts.findIndex((text, at) => at % 2 === 0 && text === name) + 1] ?? '';
  const uidNext = texts.includes('UIDNEXT') ? numberOf(after('UIDNEXT')) : 0;
  const validity = texts.includes('UIDVALIDITY') ? validityOf(after('UIDVALIDITY')) : '0';
  return { validity, uidNext, modseq: texts.includes('HIGHESTMODSEQ') ? modseqOf(after('HIGHESTMODSEQ')) : '' };
}

export function folderNode({ client }: Wire, path: string): ImapCompileNode {
  return { type: 'STRING', value: encodePath(client, path) };
}

/** 0 for what is no UID. */
function numberOf(text: string): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  return number <= LAST_UID ? number : 0;
}

function validityOf(text: string): string {
  return /^\d{1,20}$/.test(text) ? text : '0';
}

/** A folder without such numbers has 0 (RFC 7162 section 3.1.7). */
function modseqOf(text: string): string {
  return /^[1-9]\d{0,19}$/.test(text) ? text : '';
}
