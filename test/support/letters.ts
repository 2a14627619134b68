// Mails as the programs of other people write them.
import { randomUUID } from 'node:crypto';
import MailComposer from 'nodemailer/lib/mail-composer';

export interface Letter {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  /** With angle brackets. */
  readonly messageId: string;
  readonly inReplyTo?: string;
  /** Oldest first. */
  readonly references?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly text?: string;
  readonly html?: string;
  readonly attachments?: readonly {
    readonly filename: string;
    readonly contentType: string;
    readonly content: string;
  }[];
}

export function newMessageId(host = 'mail.reader.test'): string {
  return `<${randomUUID()}@${host}>`;
}

export async function written({ inReplyTo, references, headers, attachments, ...letter }: Letter): Promise<Buffer> {
  const composer = new MailComposer({
    text: 'Thank you.',
    ...letter,
    ...(inReplyTo !== undefined && { inReplyTo }),
    ...(references !== undefined && references.length > 0 && { references: [...references] }),
    ...(headers !== undefined && { headers: { ...headers } }),
    ...(attachments !== undefined && { attachments: attachments.map((attachment) => ({ ...attachment })) }),
  });
  return await composer.compile().build();
}

const HEAD = (messageId: string, from: string, to: string): string =>
  `From: <${from}>\r\nTo: <${to}>\r\nSubject: Hostile\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: ${messageId}\r\n`;

/** Mails that are made to hurt whoever reads them, by what is wrong with them. */
export function hostileMails(from: string, to: string): ReadonlyMap<string, Buffer> {
  const head = (): string => HEAD(newMessageId(), from, to);
  const reference = (): string => ` ${newMessageId()}\r\n`;
  const tenMegabytes = Math.ceil(10_000_000 / reference().length);
  const parts = Array.from({ length: 1_000 }, (_, depth) => depth);
  return new Map([
    ['10 MB of References', mail(head(), `References:\r\n${Array.from({ length: tenMegabytes }, reference).join('')}`)],
    ['10 MB of References in one line', mail(head(), `References: ${'<a@b>'.repeat(2_000_000)}\r\n`)],
    [
      'References that never close',
      mail(head(), `References: ${'<'.repeat(500_000)}\r\nIn-Reply-To: ${'('.repeat(500_000)}\r\n`),
    ],
    [
      '5,000 headers',
      mail(head(), Array.from({ length: 5_000 }, (_, index) => `X-Header-${index}: ${'v'.repeat(100)}\r\n`).join('')),
    ],
    [
      'broken encodings',
      mail(
        head(),
        'Subject: =?utf-8?B?////?= =?x-unknown?Q?=ZZ?= =?utf-8?Q?\xff\xfe\r\n' +
          `From: =?iso-2022-jp?B?${'G'.repeat(10_000)}?= <a@b>\r\nIn-Reply-To: =?utf-8?Q?=00=00?= \0 <\xff@\xfe>\r\n` +
          'Content-Type: text/html; charset="no-such-charset"\r\nContent-Transfer-Encoding: base64\r\n',
        '!!!! this is no base64 \0\xff\xfe ====',
      ),
    ],
    [
      '1,000 multiparts in each other',
      mail(
        head(),
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b0"\r\n',
        parts
          .map((depth) => `--b${depth}\r\nContent-Type: multipart/mixed; boundary="b${depth + 1}"\r\n\r\n`)
          .concat('--b1000\r\nContent-Type: text/plain\r\n\r\nDeep\r\n')
          .join(''),
      ),
    ],
    [
      'a report that says it is a bounce of everything',
      mail(
        head(),
        'Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n' +
          'Content-Type: multipart/report; report-type=delivery-status; boundary="r"\r\n',
        `--r\r\nContent-Type: message/delivery-status\r\n\r\n${'Final-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n'.repeat(20_000)}--r--\r\n`,
      ),
    ],
    ['nothing but a line end', Buffer.from('\r\n')],
  ]);
}

function mail(head: string, fields: string, body = 'Hello\r\n'): Buffer {
  return Buffer.from(`${head}${fields}\r\n${body}\r\n`, 'latin1');
}
