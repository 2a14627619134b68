import { createHash } from 'node:crypto';
import type { Query } from '../db/pool.ts';
import type { Grant } from '../grants/grants.ts';
import { uuidText, wireId } from '../ids.ts';
import type { FoundMail, MailHead } from '../providers/watch.ts';
import { messagesByHeader } from '../tracking/threads.ts';
import { ancestorsOf } from './ancestry.ts';
import { markOf, messageIdMark } from './mark.ts';
import { knownMarks } from './received.ts';

/** The threads of mails that answer no tracked message, as the wire has them: that of the nearest mail above which is known. */
export async function conversationsOf(
  sql: Query,
  { app, id: grantId }: Pick<Grant, 'app' | 'id'>,
  mails: readonly FoundMail[],
): Promise<ReadonlyMap<FoundMail, string>> {
  const lines = mails.map((mail) => ({ mail, above: ancestorsOf(mail.head) }));
  const all = lines.flatMap(({ above }) => above);
  const ours = await messagesByHeader(
    sql,
    { app, grantId },
    all.flatMap(({ spellings }) => spellings),
  );
  const received = await knownMarks(
    sql,
    app,
    grantId,
    all.map(({ id }) => messageIdMark(id)),
  );
  return new Map(
    lines.map(({ mail, above }) => {
      const known = above
        .map(({ id, spellings }) => {
          const row = spellings.map((spelling) => ours.get(spelling)).find((found) => found !== undefined);
          return row?.threadId ?? received.get(messageIdMark(id).toString('hex'));
        })
        .find((thread) => thread !== undefined);
      return [mail, known ?? conversationId(grantId, mail.head, markOf(mail))];
    }),
  );
}

/** It follows from the mail with which the conversation began, so that no row has to keep it. */
function conversationId(grantId: string, head: MailHead, mark: Buffer): string {
  const first = head.references[0] ?? head.inReplyTo[0] ?? head.messageId ?? mark.toString('hex');
  const digest = createHash('sha256').update(`${grantId} ${first}`).digest();
  return wireId('thr', uuidText(digest.subarray(0, 16)));
}
