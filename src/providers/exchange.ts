import type { Credentials } from './provider.ts';

/**
 * What has to be kept now that the refresh token of `before` was exchanged for what `renewed` has, and `kept` is what is
 * kept. Null for nothing: another refresh token is kept by now. Whatever else changed meanwhile stays as it is kept.
 */
export function afterExchange(kept: Credentials, before: Credentials, renewed: Credentials): Credentials | null {
  if (kept.provider !== 'imap' || before.provider !== 'imap' || renewed.provider !== 'imap') return null;
  if (kept.oauth === undefined || renewed.oauth === undefined) return null;
  if (kept.oauth.refreshToken !== before.oauth?.refreshToken) return null;
  const { refreshToken, accessToken, expiresAt } = renewed.oauth;
  return { ...kept, oauth: { ...kept.oauth, refreshToken, accessToken, expiresAt } };
}
