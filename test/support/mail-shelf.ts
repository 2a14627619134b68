// A mailbox that lies in memory: what is put on it can be read by way of the Provider port.
import { parseContent } from '../../src/providers/mail-content.ts';
import type { Providers } from '../../src/providers/provider.ts';
import type { MailContent, ReadOutcome, WantedMail } from '../../src/providers/watch.ts';

export interface Shelf {
  /** Replaces what lay at the place. */
  put(
    place: string,
    raw: Buffer | string,
    about?: Partial<Pick<MailContent, 'folders' | 'unread' | 'starred' | 'receivedAt'>>,
  ): void;
  take(place: string): void;
  /** What reading ends in instead, until null is set again. */
  answer: ((signal: AbortSignal) => Promise<ReadOutcome>) | null;
  /** What was asked for so far. */
  readonly asked: (readonly WantedMail[])[];
  /** The providers, with this mailbox behind every practice grant. */
  behind(providers: Providers): Providers;
}

export function mailShelf(): Shelf {
  const mails = new Map<
    string,
    Omit<MailContent, 'head' | 'html' | 'text' | 'attachments'> & { readonly raw: Buffer }
  >();
  const contents = async (): Promise<MailContent[]> =>
    await Promise.all(
      [...mails.values()].map(async ({ raw, ...about }) => ({ ...about, ...(await parseContent(raw)) })),
    );
  const read = async (wanted: readonly WantedMail[]): Promise<ReadOutcome> => {
    const all = await contents();
    return {
      kind: 'read',
      mails: wanted.map(({ place, messageId, withBody }) => {
        const found =
          all.find((mail) => mail.place === place) ??
          all.find((mail) => messageId !== null && mail.head.messageId === messageId);
        if (found === undefined) return null;
        return withBody ? found : { ...found, html: null, text: null };
      }),
    };
  };
  const shelf: Shelf = {
    put(place, raw, about = {}) {
      const bytes = Buffer.from(typeof raw === 'string' ? raw.replaceAll('\n', '\r\n') : raw);
      const common = { receivedAt: new Date('2026-11-20T10:00:00Z'), unread: true, starred: false, threadKey: null };
      mails.set(place, { ...common, folders: ['INBOX'], ...about, place, raw: bytes });
    },
    take: (place) => void mails.delete(place),
    answer: null,
    asked: [],
    behind: (providers) => ({
      ...providers,
      practice: {
        ...providers.practice,
        read: async (_account, _access, wanted, signal) => {
          shelf.asked.push(wanted);
          return shelf.answer === null ? await read(wanted) : await shelf.answer(signal);
        },
      },
    }),
  };
  return shelf;
}
