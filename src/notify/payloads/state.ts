import type { ToldTrigger } from '../triggers.ts';

/** What every notification has. */
export interface AnyState<Told extends ToldTrigger> {
  readonly id: string;
  readonly trigger: Told;
  /** When the notification was made. */
  readonly createdAt: Date;
  readonly applicationId: string;
  readonly grantId: string;
}

/** What stands in the envelope around it. */
export interface Contents {
  readonly source: string;
  readonly data: object;
}

export function seconds(at: Date): number {
  return Math.floor(at.getTime() / 1000);
}
