import { makeSecret } from './sign.ts';
import {
  getWebhook,
  type SubscriptionDeps,
  secretContext,
  type Webhook,
  type WebhookWithSecret,
  webhookColumns,
  webhookNotFound,
} from './subscriptions.ts';

/**
 * Gives a webhook a new secret, shown only here; the old one signs nothing any more. Secrets are read when an attempt
 * begins, so one that has begun keeps the secret it read, and the next attempt of the same delivery has the new one.
 * No challenge: neither the address nor the status changes.
 */
export async function rotateSecret(
  deps: Pick<SubscriptionDeps, 'sql' | 'vault' | 'now'>,
  app: number,
  wireId: string,
): Promise<WebhookWithSecret> {
  const { id } = await getWebhook(deps, app, wireId);
  const secret = makeSecret();
  const [webhook] = await deps.sql<Webhook[]>`
    update destinations set
      secret = ${deps.vault.seal(secret, secretContext(id))},
      updated_at = ${new Date(deps.now?.() ?? Date.now())}
    where app = ${app} and kind = 'webhook' and id = ${id}
    returning ${webhookColumns(deps.sql)}`;
  if (webhook === undefined) throw webhookNotFound(); // deleted in between
  return { webhook, secret };
}
