// Mail of others as the watching of a mailbox leaves it behind: a row that says where it lies.
import type { Query } from '../../src/db/pool.ts';
import type { Grant } from '../../src/grants/grants.ts';
import { uuidv7, wireId } from '../../src/ids.ts';
import { parseHead } from '../../src/providers/mail-head.ts';
import { markOf } from '../../src/replies/mark.ts';
import { keepReceived, type Received } from '../../src/replies/received.ts';

/** Returns its wire id. */
export async function foundMail(
  sql: Query,
  grant: Pick<Grant, 'app' | 'id'>,
  raw: string,
  about: Partial<Received> & Pick<Received, 'place'>,
): Promise<string> {
  const head = parseHead(Buffer.from(raw));
  const id = about.id ?? uuidv7();
  await keepReceived(sql, grant.app, grant.id, [
    {
      mark: markOf({ head, size: raw.length }),
      threadId: wireId('thr', uuidv7()),
      messageId: head.messageId ?? '',
      rootId: null,
      class: 'reply',
      reasons: [],
      receivedAt: new Date('2026-11-20T10:00:00Z'),
      ...about,
      id,
    },
  ]);
  return wireId('msg', id);
}
