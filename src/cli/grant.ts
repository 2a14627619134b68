import type { Sql } from '../db/pool.ts';
import { listApplications } from '../grants/applications.ts';
import { listGrants } from '../grants/grant-list.ts';
import { deleteGrant, findGrant, type Grant, toWire } from '../grants/grants.ts';
import { theApplication } from './app.ts';
import { type Command, count, Refused } from './command.ts';
import { table } from './table.ts';

const MOST = 100_000;

export const grantList: Command = {
  words: ['grant', 'list'],
  usage: '[APP]',
  summary: 'mailboxes that may send',
  check: count(0, 1),
  async run({ sql }, [name]) {
    const applications = name === undefined ? await listApplications(sql) : [await theApplication(sql, name)];
    const found = await Promise.all(
      applications.map(async (application) => {
        const grants = await listGrants(sql, application.serial, {
          limit: MOST,
          offset: 0,
          sortBy: 'created_at',
          orderBy: 'asc',
        });
        return grants.map((grant) => ({ application, grant }));
      }),
    );
    const rows = found.flat();
    return {
      json: rows.map(({ application, grant }) => ({ ...toWire(grant), application_id: application.id })),
      text: table(
        ['ID', 'APPLICATION', 'ADDRESS', 'PROVIDER', 'STATE'],
        rows.map(({ application, grant }) => [grant.id, application.name, grant.email, grant.provider, grant.state]),
        'There are no grants yet.',
      ),
    };
  },
};

export const grantDelete: Command = {
  words: ['grant', 'delete'],
  usage: 'ID',
  summary: 'for good: erases its credentials, its links and pixels stop',
  check: count(1),
  async run({ sql }, [identifier = '']) {
    const grant = await theGrant(sql, identifier);
    if (!(await deleteGrant(sql, grant.app, grant.id))) throw new Refused(`There is no grant "${identifier}".`);
    return { json: { id: grant.id, deleted: true }, text: `The grant of ${grant.email} is deleted.` };
  },
};

/** Of whatever application. */
export async function theGrant(sql: Sql, identifier: string): Promise<Grant> {
  const applications = await listApplications(sql);
  const found = await Promise.all(applications.map(({ serial }) => findGrant(sql, serial, identifier)));
  const [grant, ...others] = found.filter((candidate) => candidate !== null);
  if (!grant) throw new Refused(`There is no grant "${identifier}".`);
  if (others.length > 0) throw new Refused(`Several applications have a grant "${identifier}": name it by its id.`);
  return grant;
}
