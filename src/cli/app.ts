import type { Config } from '../config.ts';
import { checkKeyring } from '../db/keyring-check.ts';
import type { Sql } from '../db/pool.ts';
import { transaction } from '../db/transaction.ts';
import {
  type Application,
  createApplication,
  findApplication,
  listApplications,
  nameProblem,
  updateApplication,
  upgradeApplication,
} from '../grants/applications.ts';
import { addPracticeGrant } from '../grants/grants.ts';
import { createKey } from '../grants/keys.ts';
import {
  parseSettings,
  type SettingsPatch,
  SettingsProblem,
  settingFromText,
  settingsToWire,
} from '../grants/settings.ts';
import { makeVault, type Vault } from '../grants/vault.ts';
import { loadKeyring } from '../secrets.ts';
import { type Command, count, Refused, UsageError } from './command.ts';
import { facts, table } from './table.ts';

export const appCreate: Command = {
  words: ['app', 'create'],
  usage: 'NAME [--sandbox]',
  summary: 'make an application, its API key and its practice mailbox',
  options: ['sandbox'],
  check: count(1),
  async run({ sql, config, sandbox }, [name = '']) {
    const problem = nameProblem(name);
    if (problem !== null) throw new Refused(`The name ${problem}.`);
    const vault = await openVault(config, sql);
    const environment = sandbox ? 'sandbox' : 'production';
    const { id, grant, key } = await transaction(sql, async (tx) => {
      const application = await createApplication(tx, { name, environment });
      if (application === null) throw new Refused(`There is an application "${name}" already.`);
      const { id, serial } = application;
      return { id, grant: await addPracticeGrant(tx, vault, serial), key: (await createKey(tx, serial)).key };
    });
    return {
      json: { id, name, environment, api_key: key, grant_id: grant.id },
      text: `${facts([
        ['id', id],
        ['name', name],
        ['environment', environment],
        ['api key', key],
        ['practice grant', grant.id],
      ])}\n\nThe key is shown this once.`,
    };
  },
};

export const appList: Command = {
  words: ['app', 'list'],
  usage: '',
  summary: 'all applications, oldest first',
  check: count(0),
  async run({ sql }) {
    const applications = await listApplications(sql);
    return {
      json: applications.map(shown),
      text: table(
        ['ID', 'NAME', 'ENVIRONMENT', 'MADE'],
        applications.map(({ id, name, environment, createdAt }) => [id, name, environment, createdAt.toISOString()]),
        'There are no applications yet.',
      ),
    };
  },
};

export const appSet: Command = {
  words: ['app', 'set'],
  usage: 'APP key=value …',
  summary: 'change tracking settings; without key=value show them',
  check(input) {
    count(1, Number.POSITIVE_INFINITY)(input);
    const wrong = input.slice(1).find((pair) => !pair.includes('='));
    if (wrong !== undefined) throw new UsageError(`"${wrong}" is not of the form key=value.`);
  },
  async run({ sql }, [name = '', ...pairs]) {
    const application = await theApplication(sql, name);
    const settings = settingsOf(pairs);
    const changed = pairs.length === 0 ? application : await updateApplication(sql, application.serial, { settings });
    if (changed === 'unknown') throw new Refused(`The application "${name}" has gone.`);
    return {
      json: shown(changed),
      text: facts(
        Object.entries(settingsToWire(changed.settings)).map(([key, value]) => [
          key,
          Array.isArray(value) ? value.join(',') : String(value),
        ]),
      ),
    };
  },
};

export const appUpgrade: Command = {
  words: ['app', 'upgrade'],
  usage: 'APP',
  summary: 'from sandbox to production, so that it may track',
  check: count(1),
  async run({ sql }, [name = '']) {
    const { serial, id, name: full } = await theApplication(sql, name);
    const upgraded = await upgradeApplication(sql, serial);
    return {
      json: { id, name: full, environment: 'production' },
      text: upgraded ? `"${full}" is a production application now.` : `"${full}" was a production application already.`,
    };
  },
};

/** By name or id; refuses an unknown one. */
export async function theApplication(sql: Sql, idOrName: string): Promise<Application> {
  const application = await findApplication(sql, idOrName);
  if (application === null) throw new Refused(`There is no application "${idOrName}".`);
  return application;
}

function shown({ id, name, environment, settings, createdAt }: Application): object {
  return {
    id,
    name,
    environment,
    tracking_settings: settingsToWire(settings),
    created_at: Math.floor(createdAt.getTime() / 1000),
  };
}

function settingsOf(pairs: readonly string[]): SettingsPatch {
  const wire = Object.fromEntries(
    pairs.map((pair): [string, unknown] => {
      const at = pair.indexOf('=');
      const key = pair.slice(0, at);
      return [key, settingFromText(key, pair.slice(at + 1))];
    }),
  );
  try {
    return parseSettings(wire);
  } catch (error) {
    if (error instanceof SettingsProblem) throw new Refused(error.problems.join('\n'));
    throw error;
  }
}

/** The vault of the service; proven against the database before anything is sealed with it. */
async function openVault(config: Config, sql: Sql): Promise<Vault> {
  const ring = await loadKeyring(config);
  await checkKeyring(sql, ring);
  return makeVault(ring);
}
