import { settingNames } from '../grants/settings.ts';
import { COMMANDS } from './commands.ts';

export function help(): string {
  const rows = COMMANDS.map(({ words, usage, summary }) => ({ call: [...words, usage].join(' ').trim(), summary }));
  const width = Math.max(...rows.map(({ call }) => call.length));
  return `Usage: npm run --silent telltale -- <command> [--json]

${rows.map(({ call, summary }) => `  ${call.padEnd(width)}  ${summary}`).join('\n')}

APP is an application's name or id. --json writes JSON and nothing else to standard output.
Settings for "app set": ${settingNames().join(', ')}.
"verify" needs no database. REQUEST is a file, or - for standard input: header lines, an empty line, the body; or the body alone with
--signature, or with --id, --timestamp and --webhook-signature. The secret: WEBHOOK_SECRET, --secret-file FILE or --secret TEXT.
Lists are written a,b,c. The database is the one of DATABASE_URL, or the service's own in TELLTALE_DATA_DIR.
Exit codes: 0 done, 1 refused or failed (verify: a signature does not hold), 2 wrong command line.
`;
}
