// What is in a mail, as quickly as mails of many megabytes take it: what nodemailer composes is understood, no more.
import { createHash } from 'node:crypto';

export interface FileInMail {
  readonly filename: string;
  /** Bytes, decoded. */
  readonly size: number;
  /** SHA-256 of the decoded bytes, hex. */
  readonly hash: string;
}

export function filesIn(mail: Buffer): FileInMail[] {
  const end = mail.indexOf('\r\n\r\n');
  const head = mail
    .subarray(0, end)
    .toString('latin1')
    .replaceAll(/\r\n[ \t]+/g, ' ');
  const boundary = /^content-type: *multipart\/.*boundary="?([^";]+)/im.exec(head)?.[1];
  if (boundary !== undefined) return partsOf(mail.subarray(end + 2), boundary).flatMap(filesIn);
  const filename = /filename="?([^";]+)/i.exec(head)?.[1];
  if (filename === undefined) return [];
  if (!/^content-transfer-encoding: *base64$/im.test(head)) throw new Error(`${filename} is not in base64`);
  const text = mail.subarray(end + 4).toString('latin1');
  const bytes = Buffer.from(text, 'base64');
  return [{ filename, size: bytes.length, hash: createHash('sha256').update(bytes).digest('hex') }];
}

/** The paths of its pixel and its links. */
export function trackedIn(raw: Buffer): string[] {
  const html = raw.toString('latin1').replaceAll('=\r\n', '').replaceAll('=3D', '=');
  return [...html.matchAll(/"https?:\/\/[^/"]+(\/[oc]\/[^"]+)"/g)].map(([, path]) => path ?? '');
}

function partsOf(body: Buffer, boundary: string): Buffer[] {
  const parts: Buffer[] = [];
  let from = body.indexOf(`\r\n--${boundary}`);
  for (;;) {
    const to = body.indexOf(`\r\n--${boundary}`, from + 4);
    if (from < 0 || to < 0) return parts;
    parts.push(body.subarray(body.indexOf('\r\n', from + 4) + 2, to));
    from = to;
  }
}
