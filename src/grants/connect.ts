import type { Sql } from '../db/pool.ts';
import { ApiError, invalid } from '../errors.ts';
import { mailboxOf } from '../providers/mailbox.ts';
import type { Access, CheckProblem, Credentials, ImapCredentials, Providers } from '../providers/provider.ts';
import { keepRenewed } from './credentials.ts';
import { findGrant, type Grant, renewGrant, saveGrant } from './grants.ts';
import { type ImapSettings, loginField, readImapSettings } from './imap-settings.ts';
import type { Vault } from './vault.ts';

export interface ConnectDeps {
  readonly sql: Sql;
  readonly vault: Pick<Vault, 'seal' | 'open'>;
  readonly providers: Providers;
  readonly checkMs?: number;
}

export interface Connection {
  readonly settings: Readonly<Record<string, unknown>>;
  readonly name?: string;
  readonly scope?: readonly string[];
}

export interface Connected {
  readonly grant: Grant;
  /** False where the address had a grant, which was authenticated again. */
  readonly created: boolean;
}

const CHECK_MS = 30_000;

/**
 * Makes the grant of an IMAP mailbox, or authenticates the one of its address again (D13), after the credentials worked
 * on each of its servers. What does not work is thrown as a 400 naming the field; then nothing is stored.
 */
export async function connectImap(deps: ConnectDeps, app: number, asked: Connection): Promise<Connected> {
  const read = readImapSettings(asked.settings);
  const known = await findGrant(deps.sql, app, `email:${read.email}`);
  if (known?.provider === 'practice') {
    throw invalid('settings.email', `must not be ${read.email}, which is the address of a practice mailbox`);
  }
  return await saveGrant(deps, app, {
    provider: 'imap',
    email: read.email,
    settings: read.shown,
    credentials: await tried(deps, app, known, asked, read),
    ...(asked.name !== undefined && { name: asked.name }),
    ...(asked.scope !== undefined && { scope: asked.scope }),
    ...(read.aliases !== null && { aliases: read.aliases }),
  });
}

/** The same for a grant there is: its settings are replaced as a whole, its address stays. Null where it was deleted meanwhile. */
export async function reconnectImap(
  deps: ConnectDeps,
  grant: Grant,
  asked: Pick<Connection, 'settings' | 'scope'>,
): Promise<Grant | null> {
  const read = readImapSettings(asked.settings);
  if (read.email.toLowerCase() !== grant.email.toLowerCase()) {
    const field = asked.settings.email === undefined ? 'settings.imap_username' : 'settings.email';
    throw invalid(field, `must belong to ${grant.email}: connect another address as a grant of its own`);
  }
  const credentials = await tried(deps, grant.app, grant, asked, read);
  const renewed = { settings: read.shown, scope: asked.scope ?? grant.scope, credentials };
  return await renewGrant(deps, grant, { ...renewed, ...(read.aliases !== null && { aliases: read.aliases }) });
}

/**
 * The credentials, as trying them left them: a refresh token may have been exchanged. Where a grant lives on the same one, it
 * keeps what came of it, also when the rest of the credentials turns out not to work.
 */
async function tried(
  deps: ConnectDeps,
  app: number,
  known: Grant | null,
  asked: Pick<Connection, 'settings'>,
  read: ImapSettings,
): Promise<Credentials> {
  let credentials: Credentials = read.credentials;
  const access: Access<Credentials> = {
    credentials,
    async keep(before, renewed) {
      credentials = renewed;
      if (known !== null) await keepRenewed(deps, app, known.id, before, renewed);
    },
    reread: async () => null, // nobody else has them yet
  };
  const mailbox = mailboxOf(deps.providers, { app, grantId: '', email: read.email }, access);
  const checked = await mailbox.check(AbortSignal.timeout(deps.checkMs ?? CHECK_MS));
  if (checked.kind === 'works') return credentials;
  const told = checked.problems.map((problem) => sentenceOf(problem, asked.settings, read.credentials));
  const refusedOnly = checked.problems.every(({ kind }) => kind === 'unauthorised');
  throw new ApiError(
    400,
    refusedOnly ? 'grant.invalid_authentication' : 'api.invalid_request_error',
    told.map(({ field, sentence }) => `${field}: ${sentence}`).join('; '),
    {
      problems: told.map(({ field, sentence }, at) => ({ field, kind: checked.problems[at]?.kind, reason: sentence })),
    },
  );
}

function sentenceOf(
  { at, kind, reason }: CheckProblem,
  given: Connection['settings'],
  credentials: ImapCredentials,
): { readonly field: string; readonly sentence: string } {
  if (at === 'oauth') return { field: 'settings.oauth', sentence: reason };
  const place = at === 'imap' ? 'imap' : 'smtp';
  const server = credentials[place] ?? credentials.smtp;
  const name = `${server.host}:${server.port}`;
  if (kind === 'unauthorised') {
    const words = reason.replace(/^\S+ refused the login(: )?/, '');
    const said = words === '' ? '' : `: ${words}`;
    return { field: loginField(given, place), sentence: `${name} refused the login of "${server.user}"${said}` };
  }
  // Most reasons name the server themselves.
  const sentence = reason.includes(server.host) ? reason : `${name} cannot be used: ${reason}`;
  return { field: `settings.${place}_host`, sentence };
}
