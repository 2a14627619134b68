import type { Config } from '../config.ts';
import type { Sql } from '../db/pool.ts';
import { firstApplication } from '../grants/applications.ts';
import { createPracticeGrant, findGrant, type Grant, PRACTICE_ADDRESS } from '../grants/grants.ts';
import { ensureSettingKey } from '../grants/keys.ts';
import type { Vault } from '../grants/vault.ts';
import { loadApiKey } from '../secrets.ts';

export interface FirstApplication {
  readonly apiKey: string;
  /** Its practice grant, whatever its state: an expired one stays expired over a restart. */
  readonly grant: Grant;
}

/** The application, key and practice grant that an empty installation begins with; finds them later on. */
export async function bootstrap(deps: {
  readonly sql: Sql;
  readonly vault: Vault;
  readonly config: Config;
}): Promise<FirstApplication> {
  const { sql, config } = deps;
  const { application } = await firstApplication(sql);
  const apiKey = await loadApiKey(config);
  await ensureSettingKey(sql, application.serial, apiKey, config.apiKey === null ? 'file' : 'setting');
  const known = await findGrant(sql, application.serial, PRACTICE_ADDRESS);
  return { apiKey, grant: known ?? (await createPracticeGrant(deps, application.serial)) };
}
