import { uuidText } from '../ids.ts';

/** What must not be tracked any more. Asked for every hit, so it answers from memory. */
export interface StopList {
  /** A deleted grant: 'stop' answers 410, 'forward' redirects; neither is recorded. */
  grant(app: number, grant: number): 'stop' | 'forward' | null;
  /** A blocked message, by its key as UUID text. */
  message(app: number, messageKey: string): boolean;
  /** A blocked destination host, in lower case. */
  host(host: string): boolean;
}

/** What the stops say about an identity (28 proven bytes). */
export function stopFor(stops: StopList, identity: Buffer): 'blocked' | 'stop' | 'forward' | null {
  const app = identity.readUInt32BE(2);
  if (stops.message(app, uuidText(identity.subarray(10, 26)))) return 'blocked';
  return stops.grant(app, identity.readUInt32BE(6));
}
