// Mails as a provider would give them, made from their text; for what reads pages and not mailboxes.
import { parseContent } from '../../src/providers/mail-content.ts';
import { parseHead } from '../../src/providers/mail-head.ts';
import type { FoundMail, WatchedMailbox } from '../../src/providers/watch.ts';

export interface LyingMails {
  readonly mailbox: WatchedMailbox;
  /** Puts a mail there; head lines and body as they are. */
  put(head: readonly string[], body?: string, found?: Partial<FoundMail>): FoundMail;
  /** Places whose beginnings were asked for. */
  readonly opened: string[];
}

export function lyingMails(): LyingMails {
  const mails = new Map<string, Buffer>();
  const opened: string[] = [];
  return {
    opened,
    put(head, body = 'Hello', found = {}) {
      const raw = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}\r\n`);
      const mail: FoundMail = {
        place: `INBOX ${mails.size + 1}`,
        folder: 'INBOX',
        isSent: false,
        isNew: true,
        receivedAt: new Date(),
        size: raw.length,
        threadKey: null,
        head: parseHead(raw),
        ...found,
      };
      mails.set(mail.place, raw);
      return mail;
    },
    mailbox: {
      next: async () => ({ mails: [], cursor: {}, isLast: true }),
      async beginnings(places, most) {
        opened.push(...places);
        return new Map(
          places.flatMap((place) => {
            const raw = mails.get(place);
            return raw === undefined ? [] : [[place, raw.subarray(0, most)] as const];
          }),
        );
      },
      async read(place) {
        const raw = mails.get(place);
        const content = raw === undefined ? null : await parseContent(raw);
        if (content === null) return null;
        const about = { folders: ['INBOX'], receivedAt: new Date(), unread: true, starred: false, threadKey: null };
        return { place, ...about, ...content };
      },
      wait: async () => {},
      close: async () => {},
    },
  };
}
