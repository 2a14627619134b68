import { appCreate, appList, appSet, appUpgrade } from './app.ts';
import type { Command } from './command.ts';
import { grantDelete, grantList } from './grant.ts';
import { keyCreate, keyList, keyRevoke } from './key.ts';
import { signIn } from './sign-in.ts';

/** In the order of the help. */
export const COMMANDS: readonly Command[] = [
  appCreate,
  appList,
  appSet,
  appUpgrade,
  keyCreate,
  keyList,
  keyRevoke,
  grantList,
  grantDelete,
  signIn,
];
