import { appCreate, appList, appSet, appUpgrade } from './app.ts';
import type { Command, LoneCommand } from './command.ts';
import { webhookAttempts, webhookDeliveries } from './delivery-history.ts';
import { grantDelete, grantList } from './grant.ts';
import { keyCreate, keyList, keyRevoke } from './key.ts';
import { mailboxList, mailboxReread } from './mailbox.ts';
import { signIn } from './sign-in.ts';
import { verify } from './verify.ts';
import { webhookList, webhookReplay, webhookRetry } from './webhook.ts';

/** In the order of the help. */
export const COMMANDS: readonly (Command | LoneCommand)[] = [
  appCreate,
  appList,
  appSet,
  appUpgrade,
  keyCreate,
  keyList,
  keyRevoke,
  grantList,
  grantDelete,
  mailboxList,
  mailboxReread,
  webhookList,
  webhookDeliveries,
  webhookAttempts,
  webhookReplay,
  webhookRetry,
  signIn,
  verify,
];
