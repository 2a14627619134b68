// The whole API on a port, with a practice grant that sends, a receiver whose webhooks pass their challenge, and a mailbox.

import { applicationRoutes } from '../../src/api/applications.ts';
import { channelRoutes } from '../../src/api/channels.ts';
import { connectRoutes } from '../../src/api/connect.ts';
import { deliveryRoutes } from '../../src/api/deliveries.ts';
import { draftRoutes } from '../../src/api/drafts.ts';
import { grantRoutes } from '../../src/api/grants.ts';
import { messageRoutes } from '../../src/api/messages.ts';
import { notificationRoutes } from '../../src/api/notifications.ts';
import { practiceRoutes } from '../../src/api/practice.ts';
import { redirectUriRoutes } from '../../src/api/redirect-uris.ts';
import { scheduleRoutes } from '../../src/api/schedules.ts';
import { threadRoutes } from '../../src/api/threads.ts';
import { webhookRoutes } from '../../src/api/webhooks.ts';
import type { Sql } from '../../src/db/pool.ts';
import type { Environment } from '../../src/grants/applications.ts';
import type { Grant } from '../../src/grants/grants.ts';
import type { Vault } from '../../src/grants/vault.ts';
import { getSubscription } from '../../src/notify/subscriptions.ts';
import { startApi } from './api.ts';
import { type BareMail, startBareMail } from './bare-mail.ts';
import { testDestinations } from './destinations.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { startSender } from './sender.ts';
import { OUTGOING } from './webhook-api.ts';

export interface WholeApi {
  readonly url: string;
  /** Every route there is, as `GET /v3/grants/:identifier`; HEAD left out. */
  readonly routes: readonly string[];
  readonly sql: Sql;
  readonly vault: Vault;
  readonly key: string;
  readonly grant: Grant;
  readonly receiver: Receiver;
  readonly mail: BareMail;
  /** The settings that connect the mailbox. */
  readonly mailbox: Readonly<Record<string, string | number>>;
  /** Another application with its practice grant and key. */
  application(environment: Environment): Promise<{ readonly grant: Grant; readonly key: string }>;
  close(): Promise<void>;
}

export async function startWholeApi(): Promise<WholeApi> {
  const sender = await startSender();
  const receiver = await startReceiver();
  const mail = await startBareMail();
  const { sql } = sender.database;
  const { destinations, close } = testDestinations();
  const { vault } = sender.deps;
  const api = await startApi(sql, [
    applicationRoutes({ sql }),
    redirectUriRoutes({ sql }),
    connectRoutes(sender.deps),
    grantRoutes(sender.deps),
    messageRoutes(sender.deps),
    scheduleRoutes({ sql }),
    draftRoutes(sender.deps),
    threadRoutes(sender.deps),
    webhookRoutes({ sql, vault, destinations, outgoing: OUTGOING }),
    channelRoutes({ sql, vault, destinations }),
    ...(['webhook', 'pubsub'] as const).map((kind) =>
      deliveryRoutes({
        sql,
        base: kind === 'webhook' ? '/v3/webhooks' : '/v3/channels/pubsub',
        find: (app, name) => getSubscription({ sql }, app, kind, name),
      }),
    ),
    notificationRoutes({ sql }),
    practiceRoutes(sender.deps),
  ]);
  return {
    url: api.url,
    routes: api.routes,
    sql,
    vault,
    key: sender.key,
    grant: sender.grant,
    receiver,
    mail,
    mailbox: {
      imap_username: mail.user,
      imap_password: mail.credentials.imap.password ?? '',
      imap_host: mail.credentials.imap.host,
      imap_port: mail.credentials.imap.port,
      smtp_host: mail.credentials.smtp.host,
      smtp_port: mail.credentials.smtp.port,
    },
    application: sender.application,
    async close() {
      await api.close();
      await close();
      await receiver.close();
      await sender.close();
      await mail.close();
    },
  };
}
