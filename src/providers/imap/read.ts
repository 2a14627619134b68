import type { MailContent, WantedMail } from '../watch.ts';
import { readContents } from './contents.ts';
import { type Desk, makeDesk, type Opened, uidsOf } from './desk.ts';
import { type Folder, searchedFolders } from './folders.ts';
import { fetchHeads } from './heads.ts';
import { readPlace } from './place.ts';
import type { Wire } from './wire.ts';

/** Mails with the same Message-ID, or with one that a loose search takes for it. */
const MOST_COMPARED = 200;
/** What a search takes without a word about its character set. */
const SAYABLE = /^[\x20-\x7e]{1,998}$/;

/**
 * Reads mails where they were last seen, all of a folder at once; those that are not there any more are looked for by
 * their Message-ID in one folder after the other. In the order asked for, null for one that is nowhere.
 */
export async function readMails(
  wire: Wire,
  wanted: readonly WantedMail[],
  desk: Desk = makeDesk(wire),
): Promise<(MailContent | null)[]> {
  const found = new Map<WantedMail, MailContent>();
  await readPlaces(wire, desk, wanted, found);
  const lost = wanted.filter((mail) => !found.has(mail) && mail.messageId !== null);
  if (lost.length > 0) await searchFor(wire, desk, lost, found);
  return wanted.map((mail) => found.get(mail) ?? null);
}

type Found = Map<WantedMail, MailContent>;

async function readPlaces(wire: Wire, desk: Desk, wanted: readonly WantedMail[], found: Found): Promise<void> {
  const spots = wanted.flatMap((mail) => {
    const spot = mail.place === null ? null : readPlace(mail.place);
    return spot === null ? [] : [{ mail, spot }];
  });
  for (const path of new Set(spots.map(({ spot }) => spot.path))) {
    const here = spots.filter(({ spot }) => spot.path === path);
    const opened = await desk.open(path);
    const valid = here.filter(({ spot }) => spot.validity === opened?.validity);
    const [first] = valid;
    if (opened === null || first === undefined) continue;
    await readHere(
      wire,
      { ...opened, isSent: first.spot.isSent },
      valid.map(({ mail, spot }) => [mail, spot.uid]),
      found,
    );
  }
}

async function searchFor(wire: Wire, desk: Desk, lost: readonly WantedMail[], found: Found): Promise<void> {
  for (const folder of searchedFolders(wire.client, await wire.list())) {
    const missing = lost.filter((mail) => !found.has(mail));
    if (missing.length === 0) return;
    const opened = await desk.open(folder.path);
    if (opened !== null) await searchIn(wire, { ...opened, isSent: folder.isSent }, missing, found);
  }
}

async function searchIn(wire: Wire, folder: OpenFolder, missing: readonly WantedMail[], found: Found): Promise<void> {
  const ids = new Set(
    missing.flatMap(({ messageId }) => (messageId !== null && SAYABLE.test(messageId) ? messageId : [])),
  );
  if (ids.size === 0) return;
  const hits = (await uidsOf(wire, [...ids])).slice(-MOST_COMPARED);
  if (hits.length === 0) return;
  // SEARCH looks for a part of the field (RFC 9051 section 6.4.4).
  const { heads } = await fetchHeads(wire, hits);
  const uids = new Map(
    heads.flatMap(({ uid, head }) => (head.messageId === null ? [] : [[head.messageId, uid] as const])),
  );
  const here = missing.flatMap((mail): [WantedMail, number][] => {
    const uid = mail.messageId === null ? undefined : uids.get(mail.messageId);
    return uid === undefined ? [] : [[mail, uid]];
  });
  await readHere(wire, folder, here, found);
}

type OpenFolder = Opened & Pick<Folder, 'isSent'>;

async function readHere(
  wire: Wire,
  folder: OpenFolder,
  mails: readonly (readonly [WantedMail, number])[],
  found: Found,
): Promise<void> {
  const withBody = new Map<number, boolean>();
  for (const [mail, uid] of mails) withBody.set(uid, mail.withBody || withBody.get(uid) === true);
  if (withBody.size === 0) return;
  const contents = await readContents(wire, folder, withBody);
  for (const [mail, uid] of mails) {
    const content = contents.get(uid);
    if (content !== undefined) found.set(mail, mail.withBody ? content : { ...content, html: null, text: null });
  }
}
