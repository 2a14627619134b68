// What lies behind the doors: the database, the API and the workers.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { applicationRoutes } from '../api/applications.ts';
import { channelRoutes } from '../api/channels.ts';
import { connectRoutes } from '../api/connect.ts';
import { deliveryRoutes } from '../api/deliveries.ts';
import { draftRoutes } from '../api/drafts.ts';
import { grantRoutes } from '../api/grants.ts';
import { messageRoutes } from '../api/messages.ts';
import { notificationRoutes } from '../api/notifications.ts';
import { practiceRoutes } from '../api/practice.ts';
import { makeRateLimiter } from '../api/rate-limits.ts';
import { redirectUriRoutes } from '../api/redirect-uris.ts';
import { scheduleRoutes } from '../api/schedules.ts';
import { createApi } from '../api/server.ts';
import { threadRoutes } from '../api/threads.ts';
import { webhookRoutes } from '../api/webhooks.ts';
import type { Config } from '../config.ts';
import { retrying } from '../db/pool.ts';
import { startWake } from '../db/wake.ts';
import { findGrant } from '../grants/grants.ts';
import { practiceStore } from '../grants/practice-mail.ts';
import { makeSenders } from '../grants/senders.ts';
import { createSignInToken } from '../grants/sign-in.ts';
import { makeVault } from '../grants/vault.ts';
import type { Log } from '../log.ts';
import { makeNames } from '../names.ts';
import { makeDestinations } from '../notify/destinations.ts';
import { startRetention } from '../notify/retention.ts';
import { startNotify } from '../notify/start.ts';
import { getSubscription } from '../notify/subscriptions.ts';
import { makePostman } from '../providers/postman.ts';
import { makeProviders } from '../providers/providers.ts';
import { findKnownParent } from '../replies/known-mail.ts';
import { startReplies } from '../replies/start.ts';
import { noAnswers, syncPage } from '../replies/sync.ts';
import { createdSubscriptions } from '../replies/told-mail.ts';
import { makeSafeFetch } from '../safe-fetch.ts';
import { startDraftCopies } from '../send/draft-copies.ts';
import { makeLedger } from '../send/ledger.ts';
import { startRecovery } from '../send/recover.ts';
import { startScheduler } from '../send/scheduler.ts';
import { startSentCopies } from '../send/sent-copies.ts';
import { startTidying } from '../send/tidy.ts';
import { bodyCleaner } from '../send/tracked-body.ts';
import { readLink } from '../tracking/links.ts';
import { startRecorder } from '../tracking/recorder.ts';
import { banner } from './banner.ts';
import { bootstrap } from './bootstrap.ts';
import { openDatabase } from './database.ts';
import type { Doors } from './doors.ts';
import {
  showCopies,
  showDrafts,
  showHits,
  showNotify,
  showRecorder,
  showRefusedRequests,
  showReplies,
  showSchedules,
} from './figures.ts';
import type { Releasers } from './releasers.ts';

/** How long sends may go on when the service stops, and then what is said of them be written down. */
const SENDS_MS = 1_500;
const RECORDS_MS = 1_000;

const DESTINATION_PATHS = [
  ['webhook', '/v3/webhooks'],
  ['pubsub', '/v3/channels/pubsub'],
] as const;

/** Brings up the roles asked for and returns what is to be said when they are. */
export async function startInside(deps: {
  readonly config: Config;
  readonly log: Log;
  readonly releasers: Releasers;
  readonly doors: Doors;
}): Promise<string> {
  const { config, log, releasers, doors } = deps;
  const { metrics, spool, stops, ring, keys } = doors;
  const vault = makeVault(ring);
  const database = await openDatabase({ config, ring, log, releasers });
  const api = database.pool('api', 10);
  const wake = await startWake({ sql: database.pool('wake', 2), log });
  releasers.add('tools', 'wake', () => wake.close());
  const policy = { allowLoopback: config.loopback, allowPrivateTargets: config.allowPrivateTargets };
  const names = makeNames();
  const safeFetch = makeSafeFetch({ ...policy, names });
  releasers.add('tools', 'outgoing connections', () => safeFetch.close());
  const { destinations, close: closeDestinations } = makeDestinations({ safeFetch, google: config.google });
  releasers.add('tools', 'channels', () => closeDestinations());
  const first = await retrying(() => bootstrap({ sql: api, vault, config }));

  await stops.follow(database.pool('stops', 1));
  wake.on('stops', () => void stops.refresh());
  // The process that was told so has stopped when it answers; the others follow by the hint, at the latest within a second.
  const onStops = async (): Promise<void> => {
    await stops.refresh();
    wake('stops');
  };
  showHits(metrics, doors.counters, spool);
  const links = database.pool('links', 4);
  doors.useLookUp(({ app, message, link }) => readLink(links, app, message, link));
  const recorder = startRecorder({
    sql: database.pool('recorder', 3),
    spool: spool.reader,
    log,
    wake: () => wake('outbox'),
  });
  releasers.add('ledger', 'recorder', () => recorder.stop());
  showRecorder(metrics, recorder);

  const { providers, close: closeProviders } = makeProviders({
    practice: config.practice ? practiceStore({ sql: api, vault }) : null,
    network: { ...policy, names, ca: config.mailCa },
    safeFetch,
    pollMs: config.mailboxPollSeconds * 1000,
  });
  const onDeliveries = (): void => wake('deliveries');
  const onActivated = (): void => wake('probes');
  const onFacts = (): void => wake('outbox');
  const ledger = makeLedger({ sql: database.pool('ledger', 3), log, onFacts });
  const running = new Set<Promise<unknown>>();
  // While the doors are still open: a send that is cut off here says what became of it.
  const otherUsers: (() => Promise<void>)[] = [];
  releasers.add('work', 'mailboxes', async () => {
    await Promise.all([ended(running, SENDS_MS), ...otherUsers.map((close) => close())]);
    await closeProviders();
    await ended(running, RECORDS_MS);
    ledger.close();
  });
  const sendDeps = {
    sql: api,
    vault,
    keys,
    log,
    providers,
    trackingUrl: config.trackingUrl,
    loopback: config.loopback,
    onFacts,
    senders: makeSenders(api),
    findReceived: (app: number, grantId: string, reference: string) => findKnownParent(api, app, grantId, reference),
    ledger,
    running,
  };
  if (config.roles.has('work')) {
    const sql = database.pool('notify', 8);
    const retention = startRetention({ sql, log, days: config.notificationDays });
    releasers.add('work', 'retention', () => retention.stop());
    const notify = startNotify({
      sql,
      log,
      vault,
      destinations,
      thresholds: config.health,
      postman: config.smtp === null ? null : makePostman({ ...config.smtp, ca: config.mailCa }),
      publicUrl: config.publicUrl,
      onDeliveries,
    });
    wake.on('outbox', () => notify.wakeFanout());
    wake.on('deliveries', () => notify.wakeDeliver());
    wake.on('probes', () => notify.probe());
    releasers.add('work', 'notify', () => notify.stop());
    showNotify(metrics, notify);
    const recovery = startRecovery(sendDeps);
    otherUsers.push(() => recovery.close());
    const outgoing = database.pool('outgoing', 4);
    const copies = startSentCopies({ sql: database.pool('sent copies', 2), vault, providers, log, onFacts });
    otherUsers.push(() => copies.close());
    showCopies(metrics, copies.counts);
    const draftCopies = startDraftCopies({ ...sendDeps, sql: outgoing });
    otherUsers.push(() => draftCopies.close());
    showDrafts(metrics, draftCopies.counts);
    const tidying = startTidying({ sql: outgoing, log });
    releasers.add('work', 'tidying', () => tidying.stop());
    const scheduler = startScheduler({
      ...sendDeps,
      sql: outgoing,
      graceMs: config.scheduleGraceMinutes * 60_000,
    });
    otherUsers.push(() => scheduler.close());
    showSchedules(metrics, scheduler.counts);
    const syncs = {
      sql: database.pool('replies', 6),
      keys,
      log,
      onFacts,
      tellsOfMail: createdSubscriptions(api),
      cleaner: (app: number) => bodyCleaner({ keys }, app),
      counts: noAnswers(),
    };
    const replies = startReplies({
      sql: syncs.sql,
      heartbeatSql: database.pool('heartbeat', 1),
      log,
      vault,
      providers,
      onFacts,
      syncPage: (run, portion) => syncPage(syncs, run, portion),
    });
    wake.on('stops', () => replies.look());
    otherUsers.push(() => replies.stop());
    showReplies(metrics, replies.counts, syncs.counts);
    doors.watch('work', database.reachable);
  }
  if (config.roles.has('api')) {
    const limiter = makeRateLimiter({
      limits: config.rateLimits,
      findGrantId: async (app, email) => (await findGrant(api, app, email))?.id ?? null,
    });
    showRefusedRequests(metrics, limiter.refused);
    const http = createApi({
      sql: api,
      limiter,
      log,
      ring,
      publicUrl: config.publicUrl,
      routes: [
        applicationRoutes({ sql: api, onStops }),
        redirectUriRoutes({ sql: api }),
        connectRoutes({ sql: api, vault, providers, onFacts }),
        grantRoutes({ sql: api, vault, providers, onStops, onFacts }),
        messageRoutes(sendDeps),
        scheduleRoutes({ sql: api }),
        draftRoutes(sendDeps),
        threadRoutes(sendDeps),
        webhookRoutes({
          sql: api,
          vault,
          destinations,
          onActivated,
          outgoing: { addresses: config.outgoingAddresses, since: new Date() },
        }),
        channelRoutes({ sql: api, vault, destinations, onActivated }),
        ...DESTINATION_PATHS.map(([kind, base]) =>
          deliveryRoutes({
            sql: api,
            base,
            onDeliveries: onActivated,
            find: (app, name) => getSubscription({ sql: api }, app, kind, name),
          }),
        ),
        notificationRoutes({ sql: api }),
        ...(config.practice ? [practiceRoutes(sendDeps)] : []),
      ],
    });
    await http.ready();
    doors.front.openApi((request: IncomingMessage, response: ServerResponse) => http.routing(request, response));
    releasers.add('doors', 'api', () => http.close());
    doors.watch('api', database.reachable);
    return banner(config, first, await retrying(() => createSignInToken(api)));
  }
  return `Telltale is ready: ${[...config.roles].join(', ')} on port ${config.port}\n`;
}

/** Resolves once nothing goes on any more, at the latest after `ms`; what begins meanwhile is waited for too. */
async function ended(running: ReadonlySet<Promise<unknown>>, ms: number): Promise<void> {
  const until = delay(ms, 'over', { ref: false });
  while (running.size > 0) {
    if ((await Promise.race([Promise.allSettled([...running]), until])) === 'over') return;
  }
}
