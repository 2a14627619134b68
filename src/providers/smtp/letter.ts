// A mail as nodemailer asks for it, which it does after the reply to DATA.
import { Readable } from 'node:stream';
import { type MailBytes, readBytes, type StreamedMail, UnreadableMail } from '../mail-bytes.ts';

export interface Letter {
  readonly stream: Readable;
  /** Whether any byte of it was asked for. */
  began(): boolean;
  /** Whether all of it was given: only then does nodemailer write the final dot. */
  ended(): boolean;
  /** Whether its end could not be read; the server cannot have it then. */
  failed(): boolean;
}

const PIECE = 64 * 1024;

export function makeLetter(raw: MailBytes): Letter {
  return Buffer.isBuffer(raw) ? letterOf(raw) : streamedLetter(raw);
}

/** In pieces, not copied. */
function letterOf(raw: Buffer): Letter {
  let at = 0;
  let began = false;
  const stream = new Readable({
    highWaterMark: PIECE,
    read() {
      began = true;
      this.push(raw.subarray(at, at + PIECE));
      at += PIECE;
      if (at >= raw.length) this.push(null);
    },
  });
  return { stream, began: () => began, ended: () => stream.readableEnded, failed: () => false };
}

/** The next piece is read once the socket has taken most of the one before. */
function streamedLetter(mail: StreamedMail): Letter {
  let began = false;
  let failed = false;
  async function* pieces(): AsyncGenerator<Buffer> {
    for await (const piece of readBytes(mail)) {
      began = true;
      yield piece;
    }
  }
  const stream = Readable.from(pieces(), { objectMode: false, highWaterMark: PIECE });
  stream.on('error', (error) => {
    failed = error instanceof UnreadableMail;
  });
  return { stream, began: () => began, ended: () => stream.readableEnded, failed: () => failed };
}
