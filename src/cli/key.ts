import { listApplications } from '../grants/applications.ts';
import { createKey, listKeys, revokeKey } from '../grants/keys.ts';
import { isUuid } from '../ids.ts';
import { theApplication } from './app.ts';
import { type Command, count, Refused } from './command.ts';
import { facts, table } from './table.ts';

export const keyCreate: Command = {
  words: ['key', 'create'],
  usage: 'APP',
  summary: 'make a further API key',
  check: count(1),
  async run({ sql }, [name = '']) {
    const application = await theApplication(sql, name);
    const { id, key } = await createKey(sql, application.serial);
    return {
      json: { id, application_id: application.id, api_key: key },
      text: `${facts([
        ['id', id],
        ['application', application.name],
        ['api key', key],
      ])}\n\nThe key is shown this once.`,
    };
  },
};

export const keyList: Command = {
  words: ['key', 'list'],
  usage: '[APP]',
  summary: 'keys by id and last four characters',
  check: count(0, 1),
  async run({ sql }, [name]) {
    const only = name === undefined ? null : (await theApplication(sql, name)).serial;
    const applications = new Map((await listApplications(sql)).map((application) => [application.serial, application]));
    const keys = await listKeys(sql, only);
    return {
      json: keys.map(({ app, id, hint, source, createdAt, revokedAt }) => ({
        id,
        application_id: applications.get(app)?.id,
        hint,
        source,
        created_at: seconds(createdAt),
        ...(revokedAt === null ? {} : { revoked_at: seconds(revokedAt) }),
      })),
      text: table(
        ['ID', 'APPLICATION', 'KEY', 'FROM', 'MADE', 'REVOKED'],
        keys.map(({ app, id, hint, source, createdAt, revokedAt }) => [
          id,
          applications.get(app)?.name ?? '',
          `…${hint}`,
          FROM[source],
          createdAt.toISOString(),
          revokedAt?.toISOString() ?? '',
        ]),
        'There are no keys yet.',
      ),
    };
  },
};

/** Where a key came from. */
const FROM = { setting: 'TELLTALE_API_KEY', kept: 'file api-key', created: 'key create' } as const;

export const keyRevoke: Command = {
  words: ['key', 'revoke'],
  usage: 'KEY_ID',
  summary: 'the key stops working within a second',
  check: count(1),
  async run({ sql }, [given = '']) {
    const id = given.toLowerCase();
    const outcome = isUuid(id) ? await revokeKey(sql, id) : 'unknown';
    if (outcome === 'unknown') throw new Refused(`There is no key with the id "${given}"; see: key list`);
    if (outcome === 'setting') {
      throw new Refused('This key is the one the service was started with: change TELLTALE_API_KEY and restart.');
    }
    return { json: { id, revoked: true }, text: outcome === 'already' ? 'It was revoked already.' : 'Revoked.' };
  },
};

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
