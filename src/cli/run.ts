import { parseArgs } from 'node:util';
import { type Environment, loadConfig } from '../config.ts';
import { isConnectionLost } from '../db/pool.ts';
import { StartError } from '../errors.ts';
import { KeyringProblem } from '../keyring.ts';
import { type Command, type LoneCommand, OPTIONS, type Options, type Output, Refused, UsageError } from './command.ts';
import { COMMANDS } from './commands.ts';
import { withDatabase } from './database.ts';
import { help } from './help.ts';

export interface Terminal {
  readonly args: readonly string[];
  readonly env: Environment;
  readonly out: (text: string) => unknown;
  readonly err: (text: string) => unknown;
  /** Standard input; nothing where it is not given. */
  readonly input?: AsyncIterable<Uint8Array>;
}

/** Runs one command and gives its exit code: 0 done, 1 refused or failed or answered with no, 2 not a command. */
export async function runCommand(terminal: Terminal): Promise<number> {
  const { args, out, err } = terminal;
  try {
    const { values, positionals } = parse(args);
    const { json, help: asked, ...options } = values;
    if (asked || positionals.length === 0) {
      out(help());
      return asked ? 0 : 2;
    }
    const command = COMMANDS.find(({ words }) => words.every((word, index) => word === positionals[index]));
    if (!command) throw new UsageError(`There is no command "${positionals.slice(0, 2).join(' ')}".`);
    checkOptions(command, options);
    const input = positionals.slice(command.words.length);
    check(command, input, options);
    const output = await perform(terminal, command, input, options);
    out(json ? `${JSON.stringify(output.json, null, 2)}\n` : `${output.text}\n`);
    return output.no ? 1 : 0;
  } catch (error) {
    if (error instanceof UsageError) {
      err(`${error.message}\nSee: npm run telltale -- --help\n`);
      return 2;
    }
    err(`${explain(error)}\n`);
    return 1;
  }
}

interface Parsed {
  readonly values: Options & { readonly json?: boolean; readonly help?: boolean };
  readonly positionals: readonly string[];
}

function parse(args: readonly string[]): Parsed {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' }, ...OPTIONS },
    });
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}

function checkOptions(command: Command | LoneCommand, options: Options): void {
  const taken: readonly string[] = command.options ?? [];
  const strange = Object.keys(options).find((name) => !taken.includes(name));
  if (strange !== undefined) throw new UsageError(`--${strange} does not fit "${command.words.join(' ')}".`);
}

/** Says beside what is wrong how the command is written. */
function check(command: Command | LoneCommand, input: readonly string[], options: Options): void {
  try {
    command.check(input, options);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message}\nUsage: ${[...command.words, command.usage].join(' ').trim()}`);
  }
}

async function perform(
  { env, input = nothing() }: Terminal,
  command: Command | LoneCommand,
  words: readonly string[],
  options: Options,
): Promise<Output> {
  if ('runAlone' in command) return await command.runAlone({ options, env, input, now: Date.now }, words);
  const config = loadConfig(env);
  const sandbox = options.sandbox === true;
  return await withDatabase(config, (sql) => command.run({ sql, config, sandbox }, words));
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function explain(error: unknown): string {
  if (error instanceof Refused || error instanceof StartError || error instanceof KeyringProblem) return error.message;
  if (isConnectionLost(error)) return 'The database cannot be reached. Is DATABASE_URL right and the server up?';
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
