import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../test/support/service.ts';
import { filesIn } from './mail-parts.ts';

/** The files (SHA-256) of the mails of these subjects in maildirs, once all are there. */
export async function keptIn(
  folders: readonly string[],
  subjects: readonly string[],
  withinMs: number,
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  const seen = new Set<string>();
  await eventually(
    'every copy is in Sent',
    async () => {
      for (const folder of folders) {
        for (const part of ['new', 'cur']) {
          for (const name of await readdir(join(folder, part)).catch(() => [])) {
            const unique = name.replace(/:.*/, '');
            if (seen.has(unique)) continue;
            seen.add(unique);
            const raw = await readFile(join(folder, part, name));
            const subject = /^subject: *(.*?)\r?$/im.exec(raw.subarray(0, 4096).toString('latin1'))?.[1] ?? '';
            if (!subjects.includes(subject) || found.has(subject)) continue;
            found.set(
              subject,
              filesIn(raw).map(({ hash }) => hash),
            );
          }
        }
      }
      if (subjects.every((subject) => found.has(subject))) return true;
      return await delay(100, undefined);
    },
    withinMs,
  );
  return found;
}
