// How a secret is written at a login, and how it is kept out of what a server says about that.

/** What a user logs in with: the server's password, or an access token for XOAUTH2. */
export type Auth = { readonly password: string } | { readonly accessToken: string };

export function secretOf(auth: Auth): string {
  return 'accessToken' in auth ? auth.accessToken : auth.password;
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** RFC 4616. */
export function plainToken(user: string, auth: Auth): string {
  return base64(`\0${user}\0${secretOf(auth)}`);
}

/** XOAUTH2, as Google describes it. */
export function bearerToken(user: string, auth: Auth): string {
  return base64(`user=${user}\x01auth=Bearer ${secretOf(auth)}\x01\x01`);
}

const RECOGNISED = 8;
/** Shorter ones are parts of words, and what is left of the words would give them away. */
const SHORTEST = 6;

/**
 * Takes the secret out of `text`, in every form it may have been said in: some servers quote the command that they refuse,
 * cut or in capitals. To be asked before the text is cut, as too short a piece of a secret is not recognised.
 */
export function withhold(text: string, user: string, auth: Auth): string {
  const secret = secretOf(auth);
  const forms = [
    ...[secret, secret.replace(/["\\]/g, '\\$&'), base64(secret)],
    ...[plainToken(user, auth), bearerToken(user, auth), oauthBearerStart(user)],
  ];
  let clean = text.replace(/\b(AUTH(?:ENTICATE)?)\s+[\w-]+\s+\S+/gi, '$1 …');
  const patterns = [
    ...forms.filter((said) => said.length >= SHORTEST).map(asPattern),
    ...forms.filter((said) => said.length > RECOGNISED).map((said) => `${asPattern(said.slice(0, RECOGNISED))}\\S*`),
  ];
  for (const pattern of patterns) clean = clean.replace(new RegExp(pattern, 'gi'), '…');
  return clean;
}

function asPattern(text: string): string {
  return text.replace(/[^\w]/g, '\\$&');
}

/** Of OAUTHBEARER (RFC 7628), which names the server between user and token; enough to recognise it by. */
function oauthBearerStart(user: string): string {
  return base64(`n,a=${user},\x01host=`);
}
