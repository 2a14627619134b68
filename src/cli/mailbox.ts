import { forgetCursor } from '../replies/leases.ts';
import { listMailboxes } from '../replies/mailbox-list.ts';
import { type Command, count, Refused } from './command.ts';
import { theGrant } from './grant.ts';
import { table } from './table.ts';

const PAUSED = 'the grant has expired: authenticate it again';

export const mailboxList: Command = {
  words: ['mailbox', 'list'],
  usage: '',
  summary: 'mailboxes watched for replies: how far they were read, and what is in the way',
  check: count(0),
  async run({ sql }) {
    const mailboxes = await listMailboxes(sql);
    return {
      json: mailboxes.map((mailbox) => ({
        application: mailbox.application,
        grant_id: mailbox.grantId,
        email: mailbox.email,
        state: mailbox.state,
        node_id: mailbox.nodeId,
        synced_at: mailbox.syncedAt?.toISOString() ?? null,
        active_at: mailbox.activeAt.toISOString(),
        failures: mailbox.failures,
        problem: mailbox.problem,
      })),
      text: table(
        ['GRANT', 'APPLICATION', 'ADDRESS', 'STATE', 'LAST READ', 'PROBLEM'],
        mailboxes.map(({ grantId, application, email, state, syncedAt, problem }) => [
          grantId,
          application,
          email,
          state,
          syncedAt?.toISOString() ?? '',
          problem ?? (state === 'paused' ? PAUSED : ''),
        ]),
        'No mailbox is watched: no message with thread_replies is open.',
      ),
    };
  },
};

export const mailboxReread: Command = {
  words: ['mailbox', 'reread'],
  usage: 'GRANT',
  summary: 'reads it anew from its oldest open message on; tells what was missed, and nothing twice',
  check: count(1),
  async run({ sql }, [identifier = '']) {
    const grant = await theGrant(sql, identifier);
    if (!(await forgetCursor(sql, { app: grant.app, grantId: grant.id }))) {
      throw new Refused(`The mailbox of ${grant.email} is not watched: no message with thread_replies is open.`);
    }
    return { json: { grant_id: grant.id, reread: true }, text: `The mailbox of ${grant.email} is read anew.` };
  },
};
