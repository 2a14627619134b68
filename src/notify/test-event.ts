// What a developer asks for while writing a receiver: a payload to look at, or one in the post.
import { invalid } from '../errors.ts';
import { uuidv7, wireId } from '../ids.ts';
import { aboutOf } from './contents.ts';
import type { Destinations, Outcome } from './destination.ts';
import { renderPayload } from './payloads.ts';
import { SAMPLED, sampleState } from './samples.ts';
import { TEST_SECRET } from './sign.ts';

/** An example of what the trigger tells, as it would be sent. Throws a 400 for a trigger that is never raised. */
export function mockPayload(trigger: string, applicationId: string): unknown {
  return JSON.parse(renderPayload(stateFor(trigger, applicationId), 1));
}

/** Sends that example once, signed in Nylas's way alone, with `mock-webhook-secret`. Null where it was taken, else why not. */
export async function sendTestEvent(
  { destinations }: { readonly destinations: Destinations },
  { trigger, url, applicationId }: { readonly trigger: string; readonly url: string; readonly applicationId: string },
): Promise<string | null> {
  const state = stateFor(trigger, applicationId);
  const checked = destinations.webhook.check(url);
  if ('problem' in checked) throw invalid('webhook_url', checked.problem);
  const outcome = await destinations.webhook.attempt({
    address: url,
    secrets: [TEST_SECRET],
    id: wireId('ntf', state.id),
    body: Buffer.from(renderPayload(state, 1)),
    compressed: false,
    sentAt: Date.now(),
    about: aboutOf(state),
  });
  return problemOf(outcome);
}

function problemOf({ kind, status, answer }: Outcome): string | null {
  if (status === null) return answer;
  if (status >= 200 && status < 300) return null;
  return `status is not ok, got ${status}${kind === 'redirect' ? '; redirects are not followed' : ''}`;
}

function stateFor(trigger: string, applicationId: string): ReturnType<typeof sampleState> & object {
  const state = sampleState(trigger, { id: uuidv7(), applicationId });
  if (state === null) throw invalid('trigger_type', `must be one of ${SAMPLED.join(', ')}`);
  return state;
}
