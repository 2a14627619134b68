// Contract 2.7: the grant's id stands in the object alone.
import type { GrantDetail } from '../../grants/grant-facts.ts';
import type { AnyState, Contents } from './state.ts';

export type GrantTrigger = 'grant.created' | 'grant.updated' | 'grant.expired' | 'grant.deleted';

export interface GrantState extends AnyState<GrantTrigger> {
  /** As the grant then was. */
  readonly detail: GrantDetail;
}

/** A connector is addressed by its provider, so that is its id. */
export function grantContents({ trigger, applicationId, grantId, detail }: GrantState): Contents {
  const { code, extra } = NEWS[trigger](detail);
  const { provider, email } = detail;
  const object = { code, grant_id: grantId, integration_id: provider, provider, email, ...extra };
  return { source: '/nylas/system', data: { application_id: applicationId, object } };
}

const NEWS: Readonly<Record<GrantTrigger, (detail: GrantDetail) => { code: number; extra: object }>> = {
  'grant.created': ({ name, scope }) => ({ code: 25012, extra: { name, scope } }),
  'grant.updated': ({ reauthenticated }) => ({
    code: reauthenticated ? 25027 : 25014,
    extra: { reauthentication_flag: reauthenticated },
  }),
  'grant.expired': ({ updatedAt }) => ({ code: 25009, extra: { grant_updated_at: updatedAt } }),
  'grant.deleted': () => ({ code: 25013, extra: {} }),
};
