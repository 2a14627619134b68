import { makeSecret } from './sign.ts';
import {
  columns,
  destinationNotFound,
  getSubscription,
  type Subscription,
  type SubscriptionDeps,
  secretContext,
} from './subscriptions.ts';

/** How long the old secret signs beside the new one. */
export const OVERLAP_MS = 24 * 60 * 60_000;

/**
 * Gives a webhook a new secret, shown only here. For a day the old one signs beside it in `webhook-signature`;
 * `X-Nylas-Signature` holds one signature and is made with the new one at once. A second rotation within the day
 * forgets the first secret. Secrets are read when an attempt begins. No challenge: neither address nor status changes.
 */
export async function rotateSecret(
  deps: Pick<SubscriptionDeps, 'sql' | 'vault' | 'now'>,
  app: number,
  wireId: string,
): Promise<{ readonly subscription: Subscription; readonly secret: string }> {
  const { id } = await getSubscription(deps, app, 'webhook', wireId);
  const secret = makeSecret();
  const at = deps.now?.() ?? Date.now();
  const [subscription] = await deps.sql<Subscription[]>`
    update destinations set
      secret = ${deps.vault.seal(secret, secretContext(id))},
      previous_secret = secret,
      previous_secret_until = ${new Date(at + OVERLAP_MS)},
      updated_at = ${new Date(at)}
    where app = ${app} and kind = 'webhook' and id = ${id}
    returning ${columns(deps.sql)}`;
  if (subscription === undefined) throw destinationNotFound(); // deleted in between
  return { subscription, secret };
}
