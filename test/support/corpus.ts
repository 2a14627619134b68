// Mails of test/corpus, each with line ends as servers send them and as some programs store them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseHead } from '../../src/providers/mail-head.ts';
import type { FoundMail } from '../../src/providers/watch.ts';

const CORPUS = fileURLToPath(new URL('../../../test/corpus/', import.meta.url));

/** Names without `.eml`, in order. */
export function corpusNames(folder: 'bounces' | 'answers'): string[] {
  const files = readdirSync(join(CORPUS, folder)).filter((file) => file.endsWith('.eml'));
  return files.map((file) => file.slice(0, -'.eml'.length)).sort();
}

export function corpusMail(folder: 'bounces' | 'answers', name: string, ends: '\n' | '\r\n' = '\r\n'): Buffer {
  const text = readFileSync(join(CORPUS, folder, `${name}.eml`), 'latin1');
  return Buffer.from(text.replaceAll('\r\n', '\n').replaceAll('\n', ends), 'latin1');
}

/** As a watched mailbox would tell of it. */
export function foundMail(raw: Buffer, where: Partial<FoundMail> = {}): FoundMail {
  return {
    place: '1',
    folder: 'INBOX',
    isSent: false,
    isNew: true,
    receivedAt: new Date('2026-01-01T21:00:05Z'),
    size: raw.length,
    threadKey: null,
    head: parseHead(raw.subarray(0, 64 * 1024)),
    ...where,
  };
}
