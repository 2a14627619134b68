import type { Config, Environment } from '../config.ts';
import type { Sql } from '../db/pool.ts';

interface CommandLine {
  readonly words: readonly string[];
  /** What follows the words, for the help. */
  readonly usage: string;
  readonly summary: string;
  /** Which of {@link OPTIONS} it takes. */
  readonly options?: readonly (keyof Options)[];
  /** Throws a UsageError before anything is touched. */
  check(input: readonly string[], options: Options): void;
}

/** Works on the service's database. */
export interface Command extends CommandLine {
  run(context: CommandContext, input: readonly string[]): Promise<Output>;
}

/** Needs neither database nor settings. */
export interface LoneCommand extends CommandLine {
  runAlone(context: LoneContext, input: readonly string[]): Promise<Output>;
}

/** What commands take beyond --json and --help. */
export const OPTIONS = {
  sandbox: { type: 'boolean' },
  secret: { type: 'string' },
  'secret-file': { type: 'string' },
  signature: { type: 'string' },
  id: { type: 'string' },
  timestamp: { type: 'string' },
  'webhook-signature': { type: 'string' },
} as const;

export type Options = {
  readonly [Name in keyof typeof OPTIONS]?:
    | ((typeof OPTIONS)[Name]['type'] extends 'boolean' ? boolean : string)
    | undefined;
};

export interface CommandContext {
  readonly sql: Sql;
  readonly config: Config;
  readonly sandbox: boolean;
}

export interface LoneContext {
  readonly options: Options;
  readonly env: Environment;
  /** Standard input. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** The same answer for programs and for people. */
export interface Output {
  readonly json: unknown;
  readonly text: string;
  /** The answer is a no: exit code 1. */
  readonly no?: boolean;
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
