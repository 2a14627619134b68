import { parseArgs } from 'node:util';
import { type Environment, loadConfig } from '../config.ts';
import { isConnectionLost } from '../db/pool.ts';
import { StartError } from '../errors.ts';
import { KeyringProblem } from '../keyring.ts';
import { Refused, UsageError } from './command.ts';
import { COMMANDS } from './commands.ts';
import { withDatabase } from './database.ts';
import { help } from './help.ts';

export interface Terminal {
  readonly args: readonly string[];
  readonly env: Environment;
  readonly out: (text: string) => unknown;
  readonly err: (text: string) => unknown;
}

/** Runs one command and gives its exit code: 0 done, 1 refused or failed, 2 not a command. */
export async function runCommand({ args, env, out, err }: Terminal): Promise<number> {
  try {
    const { values, positionals } = parse(args);
    if (values.help || positionals.length === 0) {
      out(help());
      return values.help ? 0 : 2;
    }
    const command = COMMANDS.find(({ words }) => words.every((word, index) => word === positionals[index]));
    if (!command) throw new UsageError(`There is no command "${positionals.slice(0, 2).join(' ')}".`);
    if (values.sandbox && !command.usage.includes('--sandbox'))
      throw new UsageError('--sandbox fits only "app create".');
    const input = positionals.slice(command.words.length);
    command.check(input);
    const config = loadConfig(env);
    const output = await withDatabase(config, (sql) =>
      command.run({ sql, config, sandbox: values.sandbox === true }, input),
    );
    out(values.json ? `${JSON.stringify(output.json, null, 2)}\n` : `${output.text}\n`);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      err(`${error.message}\nSee: npm run telltale -- --help\n`);
      return 2;
    }
    err(`${explain(error)}\n`);
    return 1;
  }
}

function parse(args: readonly string[]): {
  readonly values: { readonly json?: boolean; readonly sandbox?: boolean; readonly help?: boolean };
  readonly positionals: readonly string[];
} {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { json: { type: 'boolean' }, sandbox: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}

function explain(error: unknown): string {
  if (error instanceof Refused || error instanceof StartError || error instanceof KeyringProblem) return error.message;
  if (isConnectionLost(error)) return 'The database cannot be reached. Is DATABASE_URL right and the server up?';
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
