// A mail server in a process of its own that takes every mail and keeps it until it is asked what came.
import { readFileSync } from 'node:fs';
import { SMTPServer } from 'smtp-server';
import { answerParent } from './child.ts';
import { type FileInMail, filesIn, trackedIn } from './mail-parts.ts';

export interface SinkOptions {
  /** PEM files; null: no TLS is offered. */
  readonly tls: { readonly key: string; readonly cert: string } | null;
}

export interface Arrived {
  /** Unix milliseconds of its last byte. */
  readonly at: number;
  readonly subject: string;
  /** Bytes. */
  readonly size: number;
  readonly files: readonly FileInMail[];
  /** The paths of its pixel and its links. */
  readonly tracked: readonly string[];
}

const { tls }: SinkOptions = JSON.parse(process.argv[2] ?? '');
let kept: { readonly at: number; readonly raw: Buffer }[] = [];
let last = 0;

const server = new SMTPServer({
  authOptional: true,
  allowInsecureAuth: true,
  disableReverseLookup: true,
  ...(tls === null
    ? { hideSTARTTLS: true }
    : { secure: true, key: readFileSync(tls.key), cert: readFileSync(tls.cert) }),
  onAuth: (_auth, _session, callback) => callback(null, { user: 'bench' }),
  onData(stream, _session, callback) {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('end', () => {
      last = Date.now();
      kept.push({ at: last, raw: Buffer.concat(chunks) });
      callback(null, 'taken');
    });
  },
});
server.on('error', () => {}); // of connections that their clients cut
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

answerParent({
  port() {
    const address = server.server.address();
    return typeof address === 'object' && address ? address.port : 0;
  },
  /** How many are kept, and when the last of them came. */
  count: () => ({ mails: kept.length, last }),
  /** What came since this was asked last. */
  arrived() {
    const mails = kept.map(({ at, raw }): Arrived => {
      const head = raw.subarray(0, 4096).toString('latin1');
      const subject = /^subject: *(.*?)\r$/im.exec(head)?.[1] ?? '';
      const large = raw.length > 1 << 20;
      return { at, subject, size: raw.length, files: filesIn(raw), tracked: large ? [] : trackedIn(raw) };
    });
    kept = [];
    return mails;
  },
});
