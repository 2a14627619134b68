// What mails say, read by their UIDs in the selected folder.
import type { FetchMessageObject } from 'imapflow';
import { decodePath } from 'imapflow/lib/tools.js';
import { parseContent } from '../mail-content.ts';
import { LONGEST_BODY, type MailContent, type MailHead } from '../watch.ts';
import { type Layout, layoutOf, type TextPart } from './body-structure.ts';
import { beginningOf, fetchMails, LONGEST_HEAD, marks } from './fetched.ts';
import { folderName } from './folders.ts';
import { receivedAt, wholeHeads } from './heads.ts';
import { placeOf } from './place.ts';
import { mayPass } from './problem.ts';
import { atom, Refused, type Wire } from './wire.ts';

export interface ReadFolder {
  readonly path: string;
  readonly validity: string;
  readonly isSent: boolean;
}

/** As it is encoded; base64 of {@link LONGEST_BODY} Latin letters is shorter. */
const LONGEST_PART = 3_000_000;

/** By UID; `withBody` says for which ones the bodies are wanted. Mails that have gone are missing. */
export async function readContents(
  wire: Wire,
  folder: ReadFolder,
  withBody: ReadonlyMap<number, boolean>,
): Promise<Map<number, MailContent>> {
  const contents = new Map<number, MailContent>();
  const uids = [...withBody.keys()];
  const items = [...marks(wire.client), atom('BODYSTRUCTURE'), beginningOf('HEADER', LONGEST_HEAD)];
  const mails = await refusable(() => fetchMails(wire, uids, items));
  const blocks = new Map([...(mails ?? [])].map(([uid, { headers }]) => [uid, headers ?? Buffer.alloc(0)]));
  const heads = await wholeHeads(wire, blocks);
  const laidOut = new Map<number, Layout>();
  for (const [uid, { bodyStructure }] of mails ?? []) {
    if (bodyStructure !== undefined) laidOut.set(uid, layoutOf(bodyStructure));
  }
  const wanted = [...laidOut].filter(([uid]) => withBody.get(uid) === true);
  const bodies = await readBodies(wire, wanted);
  for (const uid of uids) {
    const [mail, head, layout] = [mails?.get(uid), heads.get(uid), laidOut.get(uid)];
    if (mail !== undefined && head !== undefined && layout !== undefined) {
      const none = { html: null, text: null };
      contents.set(uid, {
        ...marked(wire, mail, head, folder),
        ...(bodies.get(uid) ?? none),
        attachments: layout.attachments,
      });
      continue;
    }
    const whole = await readWhole(wire, folder, uid, withBody.get(uid) === true);
    if (whole !== null) contents.set(uid, whole);
  }
  return contents;
}

type Bodies = Pick<MailContent, 'html' | 'text'>;

/** Mails with the same parts are fetched at once. */
async function readBodies(wire: Wire, mails: readonly (readonly [number, Layout])[]): Promise<Map<number, Bodies>> {
  const alike = new Map<string, [number, Layout][]>();
  for (const [uid, layout] of mails) {
    const key = layout.texts.map(({ part }) => part).join(' ');
    if (key !== '') alike.set(key, [...(alike.get(key) ?? []), [uid, layout]]);
  }
  const bodies = new Map<number, Bodies>();
  for (const [key, group] of alike) {
    const parts = key.split(' ').map((part) => beginningOf(part, LONGEST_PART));
    const uids = group.map(([uid]) => uid);
    const found = await refusable(() => fetchMails(wire, uids, [atom('UID'), ...parts]));
    for (const [uid, { texts }] of group) {
      const of = found?.get(uid)?.bodyParts;
      const decoded = await Promise.all(
        texts.map(async (text) => [text.type, await decode(text, of?.get(text.part))] as const),
      );
      const all = (type: string): string | null =>
        decoded
          .flatMap(([kind, body]) => (kind === type && body !== null ? [body] : []))
          .join('\n')
          .slice(0, LONGEST_BODY)
          .toWellFormed() || null;
      bodies.set(uid, { html: all('text/html'), text: all('text/plain') });
    }
  }
  return bodies;
}

async function decode(part: TextPart, bytes: Buffer | undefined): Promise<string | null> {
  if (bytes === undefined || bytes.length === 0) return null;
  const word = (text: string): string => text.replace(/[^\w.:+-]/g, '').slice(0, 60);
  const { charset, format, delsp } = part;
  const parameters = Object.entries({ charset, format, delsp }).flatMap(([name, value]) =>
    word(value) === '' ? [] : [`; ${name}=${word(value)}`],
  );
  const encoding = part.encoding === '' ? '' : `Content-Transfer-Encoding: ${word(part.encoding)}\r\n`;
  const head = `Content-Type: ${part.type}${parameters.join('')}\r\n${encoding}\r\n`;
  const { html, text } = await parseContent(Buffer.concat([Buffer.from(head), bytes]));
  return part.type === 'text/html' ? html : text;
}

/** A mail whose structure the server cannot say, or imapflow cannot read: as much of it as is bounded. */
async function readWhole(wire: Wire, folder: ReadFolder, uid: number, withBody: boolean): Promise<MailContent | null> {
  const items = [...marks(wire.client), beginningOf('', LONGEST_PART)];
  const mail = (await refusable(() => fetchMails(wire, [uid], items)))?.get(uid);
  if (mail?.source === undefined) return null;
  const { head, html, text, attachments } = await parseContent(mail.source);
  return {
    ...marked(wire, mail, head, folder),
    ...(withBody ? { html, text } : { html: null, text: null }),
    attachments,
  };
}

function marked(
  wire: Wire,
  mail: FetchMessageObject,
  head: MailHead,
  folder: ReadFolder,
): Omit<MailContent, 'html' | 'text' | 'attachments'> {
  const flags = new Set([...(mail.flags ?? [])].map((flag) => flag.toLowerCase()));
  return {
    place: placeOf({ ...folder, uid: mail.uid }),
    folders: foldersOf(mail, folder, wire),
    receivedAt: receivedAt(mail, head),
    unread: !flags.has('\\seen'),
    starred: flags.has('\\flagged'),
    threadKey: mail.threadId || null,
    head,
  };
}

/** On Gmail by its labels, which are folders there. */
function foldersOf({ labels }: FetchMessageObject, folder: ReadFolder, { client }: Wire): string[] {
  const named = [...(labels ?? [])].flatMap((label) => {
    if (!label.startsWith('\\')) return [decodePath(client, label)];
    return /^\\(inbox|sent)$/i.test(label) ? [label.slice(1).toUpperCase()] : [];
  });
  return named.length > 0 ? named : [folderName(folder)];
}

/** Null where the server refuses it for good. */
async function refusable<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Refused && !mayPass(error.failure)) return null;
    throw error;
  }
}
