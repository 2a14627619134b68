// A mail in bytes: whole where it is small, else to be read piece by piece, so that no more than a piece lies in memory.

export type MailBytes = Buffer | StreamedMail;

/** CRLF line ends throughout. */
export interface StreamedMail {
  /** Bytes, exactly: SMTP and IMAP are told before. */
  readonly size: number;
  /** The header block, and perhaps more. */
  readonly head: Buffer;
  /** From its beginning; as often as need be. Throws where its pieces are not to be had any more. */
  read(): AsyncIterable<Buffer>;
}

/** Its pieces were not to be had, or not as many as it should have; that is the cause. */
export class UnreadableMail extends Error {}

export function sizeOf(mail: MailBytes): number {
  return Buffer.isBuffer(mail) ? mail.length : mail.size;
}

/** Begins with the whole header block. */
export function headOf(mail: MailBytes): Buffer {
  return Buffer.isBuffer(mail) ? mail : mail.head;
}

/** As many bytes as its size says, or else throws {@link UnreadableMail}. */
export function readBytes(mail: MailBytes): AsyncIterable<Buffer> | Iterable<Buffer> {
  return Buffer.isBuffer(mail) ? [mail] : exactly(mail);
}

/** All of it in memory, once. Throws {@link UnreadableMail}. */
export async function wholeOf(mail: MailBytes): Promise<Buffer> {
  if (Buffer.isBuffer(mail)) return mail;
  const whole = Buffer.allocUnsafe(mail.size);
  let at = 0;
  for await (const piece of exactly(mail)) at += piece.copy(whole, at);
  return whole;
}

async function* exactly(mail: StreamedMail): AsyncGenerator<Buffer> {
  let given = 0;
  try {
    for await (const piece of mail.read()) {
      given += piece.length;
      if (given > mail.size) break;
      yield piece;
    }
  } catch (cause) {
    throw new UnreadableMail(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (given !== mail.size) throw new UnreadableMail(`the mail has ${given} bytes or more and not ${mail.size}`);
}
