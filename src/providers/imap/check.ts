import { OutOfTime, TOO_LATE } from '../in-time.ts';
import type { MailNetwork } from '../mail-server.ts';
import type { MailServer } from '../provider.ts';
import type { Auth } from '../secrets-said.ts';
import { type ImapProblem, problemOf } from './problem.ts';
import { cutOff, endSession, openSession } from './session.ts';

/** Logs in on a connection of its own, because a kept one proves nothing, and looks whether there is an inbox. */
export async function checkInbox(
  network: MailNetwork,
  server: MailServer,
  auth: Auth,
  signal: AbortSignal,
): Promise<ImapProblem | null> {
  const session = await openSession(network, server, auth, signal);
  if ('kind' in session) return session;
  const { client } = session;
  try {
    const status = await cutOff(client, signal, () => client.status('INBOX', { messages: true }));
    await endSession(session);
    return status === false ? { kind: 'unusable', reason: `${server.host} shows no inbox` } : null;
  } catch (error) {
    client.close();
    return error instanceof OutOfTime ? TOO_LATE : problemOf(error, server.host);
  }
}
