import { destinationNotFound } from './destination-rules.ts';
import { makeSecret } from './sign.ts';
import {
  columns,
  getSubscription,
  type Subscription,
  type SubscriptionDeps,
  secretContext,
  timeOf,
} from './subscriptions.ts';

/** How long the old secret signs beside the new one. */
const OVERLAP_MS = 24 * 60 * 60_000;

/** Of a secret's predecessors so many sign: a header must not grow with the patience of a client that tries again. */
const MOST_PREVIOUS = 4;

/**
 * Gives a webhook a new secret, shown only here. For a day the old one signs beside it in `webhook-signature`, and so
 * does every one before it that has not had its day: an answer that was lost, and the rotation done once more, takes
 * nothing from the secret in use. `X-Nylas-Signature` holds one signature and is made with the new one at once. Secrets
 * are read when an attempt begins. No challenge: neither address nor status changes.
 */
export async function rotateSecret(
  deps: Pick<SubscriptionDeps, 'sql' | 'vault' | 'now'>,
  app: number,
  wireId: string,
): Promise<{ readonly subscription: Subscription; readonly secret: string }> {
  const { id } = await getSubscription(deps, app, 'webhook', wireId);
  const secret = makeSecret();
  const at = (await timeOf(deps)).getTime();
  const [subscription] = await deps.sql<Subscription[]>`
    update destinations set
      secret = ${deps.vault.seal(secret, secretContext(id))},
      previous_secrets = jsonb_build_array(
        jsonb_build_object('sealed', encode(secret, 'base64'), 'until', ${at + OVERLAP_MS}::float8)
      ) || (
        select coalesce(jsonb_agg(one order by place), '[]') from jsonb_array_elements(previous_secrets)
          with ordinality as kept (one, place)
        where (one ->> 'until')::float8 > ${at}::float8 and place < ${MOST_PREVIOUS}
      ),
      updated_at = ${new Date(at)}
    where app = ${app} and kind = 'webhook' and id = ${id}
    returning ${columns(deps.sql)}`;
  if (subscription === undefined) throw destinationNotFound(); // deleted in between
  return { subscription, secret };
}

/** The sealed secrets of `previous_secrets` that still sign at `at` (Unix milliseconds), newest first. */
export function stillSigning(stored: unknown, at: number): Buffer[] {
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((one: unknown) => {
    const { sealed, until } = { sealed: null, until: null, ...Object(one) };
    return typeof sealed === 'string' && typeof until === 'number' && until > at ? [Buffer.from(sealed, 'base64')] : [];
  });
}
