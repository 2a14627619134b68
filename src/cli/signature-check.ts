import { nylasSignature, standardSignature, TEST_SECRET } from '../notify/sign.ts';
import { isBrokenGzip, isGzip, possibleBodies, possibleSecrets } from './alterations.ts';

export interface Evidence {
  readonly body: Buffer;
  /** The body and what follows it; the same where nothing does. */
  readonly uncut: Buffer;
  readonly contentEncoding: string;
  /** `X-Nylas-Signature`, null where it is not there. */
  readonly nylas: string | null;
  /** The three of Standard Webhooks, null where none is there. */
  readonly standard: Standard | null;
}

export interface Standard {
  readonly id: string;
  readonly timestamp: string;
  readonly signature: string;
}

export interface Verdict {
  readonly header: 'x-nylas-signature' | 'webhook-signature';
  readonly holds: boolean;
  /** Why it probably does not, one clause; null where it does. */
  readonly reason: string | null;
  /** What is worth knowing all the same, one clause. */
  readonly note: string | null;
}

const TOLERANCE_S = 300;
const LATEST_S = 1e11; // the year 5138; milliseconds have passed it since 1973

/** A verdict for each scheme whose headers are there. An old time stamp is only noted: a capture is looked at later. */
export function checkSignatures(evidence: Evidence, secret: string, now: number): readonly Verdict[] {
  const { nylas, body } = evidence;
  const standard = isTestEvent(evidence, secret) ? null : evidence.standard;
  const nylasHolds = nylas !== null && nylasFits(nylas, body, secret);
  const standardHolds = standard !== null && standardFits(standard, body, secret);
  const verdicts: Verdict[] = [];
  if (nylas !== null) {
    const reason = nylasHolds ? null : whyNotNylas(evidence, nylas, secret, standardHolds);
    verdicts.push({ header: 'x-nylas-signature', holds: nylasHolds, reason, note: null });
  }
  if (standard !== null) {
    const problem = problemOfForm(standard);
    const holds = standardHolds && problem === null;
    const reason = holds ? null : (problem ?? whyNotStandard(evidence, standard, secret, nylasHolds));
    verdicts.push({ header: 'webhook-signature', holds, reason, note: holds ? ageNote(standard, now) : null });
  }
  return verdicts;
}

/** Those have no `webhook-signature`, and their id and time stamp prove nothing. */
function isTestEvent({ body, uncut, nylas, standard }: Evidence, secret: string): boolean {
  if (nylas === null || standard === null || standard.signature !== '') return false;
  return (
    secret.trim() === TEST_SECRET ||
    possibleBodies(body, uncut).some(({ value }) => nylasFits(nylas, value, TEST_SECRET))
  );
}

function nylasFits(signature: string, body: Buffer, secret: string): boolean {
  return nylasSignature(secret, body) === signature;
}

function standardFits(standard: Standard, body: Buffer, secret: string): boolean {
  const timestamp = Number(standard.timestamp);
  if (String(timestamp) !== standard.timestamp) return false;
  const expected = standardSignature(secret, { id: standard.id, body, timestamp });
  return signaturesOf(standard).includes(`v1,${expected}`);
}

function signaturesOf({ signature }: Standard): readonly string[] {
  return signature.split(/,? +/).filter((one) => one.startsWith('v1,'));
}

function whyNotNylas(evidence: Evidence, signature: string, secret: string, standardHolds: boolean): string {
  if (!/^[0-9a-f]{64}$/i.test(signature))
    return 'it is not 64 hexadecimal digits: cut, prefixed or in another encoding';
  if (nylasFits(signature.toLowerCase(), evidence.body, secret)) return 'it must be in lower case';
  const found = undone(evidence, secret, (body, candidate) => nylasFits(signature, body, candidate));
  if (found !== null) return found;
  if (!standardHolds || evidence.standard === null) return unexplained(evidence);
  return signaturesOf(evidence.standard).length > 1
    ? 'this is the secret from before a rotation: X-Nylas-Signature is under the new one at once'
    : 'the header was changed: the body is what was signed, since webhook-signature holds';
}

function problemOfForm({ id, timestamp, signature }: Standard): string | null {
  if (id === '') return 'webhook-id is missing';
  if (timestamp === '') return 'webhook-timestamp is missing';
  if (signature === '') return 'webhook-signature is missing';
  if (!/^\d+$/.test(timestamp)) return 'webhook-timestamp is not a number of seconds';
  if (Number(timestamp) > LATEST_S) return 'webhook-timestamp is in milliseconds; it must be in seconds';
  return /(^| )v1,/.test(signature) ? null : 'webhook-signature holds no signature that begins with v1,';
}

function whyNotStandard(evidence: Evidence, standard: Standard, secret: string, nylasHolds: boolean): string {
  const found = undone(evidence, secret, (body, candidate) => standardFits(standard, body, candidate));
  if (found !== null) return found;
  if (!nylasHolds) return unexplained(evidence);
  const id = idWithin(evidence.body);
  return id !== null && standardFits({ ...standard, id }, evidence.body, secret)
    ? 'webhook-id was changed: the id in the body is the one that was signed'
    : 'one of its three headers was changed: the body is what was signed, since X-Nylas-Signature holds';
}

/** The first way to undo what was done that makes the signature hold, as a clause. */
function undone(
  { body, uncut }: Evidence,
  secret: string,
  fits: (body: Buffer, secret: string) => boolean,
): string | null {
  const secrets = possibleSecrets(secret);
  for (const one of possibleBodies(body, uncut)) {
    const fitting = secrets.find((candidate) => fits(one.value, candidate.value));
    if (fitting !== undefined) return [one.done, fitting.done].filter((clause) => clause !== '').join('; ');
  }
  return null;
}

function unexplained({ body, contentEncoding }: Evidence): string {
  if (body.length === 0) return 'there is no body';
  if (isBrokenGzip(body)) return 'the compressed body was read as text, which destroys it';
  if (/gzip/i.test(contentEncoding) && !isGzip(body))
    return 'the body was probably decompressed: Content-Encoding says gzip, and the signature is over the compressed bytes';
  return 'another secret made it, or the body was changed in a way that cannot be undone';
}

function idWithin(body: Buffer): string | null {
  try {
    const id: unknown = Reflect.get(Object(JSON.parse(body.toString('utf8'))), 'id');
    return typeof id === 'string' ? id : null;
  } catch {
    return null;
  }
}

function ageNote({ timestamp }: Standard, now: number): string | null {
  const age = Math.floor(now / 1000) - Number(timestamp);
  if (Math.abs(age) <= TOLERANCE_S) return null;
  return age > 0
    ? `sent ${duration(age)} ago: a receiver refuses it ${TOLERANCE_S / 60} minutes after it was sent, as a replay`
    : `dated ${duration(-age)} ahead of this machine's clock`;
}

function duration(seconds: number): string {
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} minutes`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} hours`;
  return `${Math.floor(seconds / 86_400)} days`;
}
