import { StartError } from '../../errors.ts';

/** The embedded PostgreSQL cannot run on this machine at all; the message says why and what to do instead. */
export class EmbeddedUnavailable extends StartError {
  constructor(reason: string) {
    super([
      `The embedded PostgreSQL cannot run here: ${reason}. ` +
        'Set DATABASE_URL to a PostgreSQL server (15 or newer) to use that one instead.',
    ]);
    this.name = 'EmbeddedUnavailable';
  }
}
