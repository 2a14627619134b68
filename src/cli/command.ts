import type { Config } from '../config.ts';
import type { Sql } from '../db/pool.ts';

export interface Command {
  readonly words: readonly string[];
  /** What follows the words, for the help. */
  readonly usage: string;
  readonly summary: string;
  /** Throws a UsageError before anything is touched. */
  check(input: readonly string[]): void;
  run(context: CommandContext, input: readonly string[]): Promise<Output>;
}

export interface CommandContext {
  readonly sql: Sql;
  readonly config: Config;
  readonly sandbox: boolean;
}

/** The same answer for programs and for people. */
export interface Output {
  readonly json: unknown;
  readonly text: string;
}

/** The command line itself is wrong. */
export class UsageError extends Error {}

/** The command is right but cannot be done; the message is for the operator. */
export class Refused extends Error {}

/** Demands so many words of input; the last may be any number where `most` says so. */
export function count(least: number, most: number = least): (input: readonly string[]) => void {
  return (input) => {
    if (input.length < least) throw new UsageError('Something is missing on the command line.');
    if (input.length > most) throw new UsageError(`"${input[most]}" is one word too many; quote names with spaces.`);
  };
}
