// A mailbox with a lease, and pages of mail for it, without a provider.
import assert from 'node:assert/strict';
import { createApplication } from '../../src/grants/applications.ts';
import type { Grant } from '../../src/grants/grants.ts';
import { openPracticeGrant } from '../../src/grants/practice-mail.ts';
import { DEFAULT_SETTINGS, type TrackingSettings } from '../../src/grants/settings.ts';
import { makeVault } from '../../src/grants/vault.ts';
import { uuidv7, wireId } from '../../src/ids.ts';
import { parseKeyring } from '../../src/keyring.ts';
import { makeLog } from '../../src/log.ts';
import type { FoundMail } from '../../src/providers/watch.ts';
import type { Lease } from '../../src/replies/leases.ts';
import type { SyncRun } from '../../src/replies/pages.ts';
import { noAnswers, type PageResult, syncPage } from '../../src/replies/sync.ts';
import { reserveAll, settleAll } from '../../src/tracking/messages.ts';
import { telling } from '../../src/tracking/send-facts.ts';
import { tokenKeys } from '../../src/tracking/token.ts';
import { type LyingMails, lyingMails } from './lying-mails.ts';
import type { TestDatabase } from './postgres.ts';

const ring = parseKeyring('a secret for tests only');
const vault = makeVault(ring);
export const keys = tokenKeys(ring);
let applications = 0;
let letters = 0;

export interface Sent {
  readonly id: string;
  readonly header: string;
  readonly thread: string;
}

export interface SentOptions {
  readonly by?: Grant;
  readonly threadReplies?: boolean;
  readonly ancestors?: readonly string[];
  readonly subject?: string;
  readonly thread?: string;
}

export interface Told {
  readonly trigger: string;
  readonly sequence: number | null;
  readonly messageId: string | null;
  readonly detail: Record<string, unknown>;
}

export interface RecordedEvent {
  readonly class: string;
  readonly sequence: number | null;
  readonly reasons: readonly string[];
}

export interface PageGround {
  readonly grant: Grant;
  readonly box: LyingMails;
  lease: Lease;
  settings: TrackingSettings;
  tellsOfMail: boolean;
  /** How often it was said that facts lie in the outbox. */
  woken: number;
  /** Another one of the same application. */
  newGrant(): Promise<Grant>;
  /** A message of the grant, sent; its replies are tracked unless said otherwise. */
  sent(options?: SentOptions): Promise<Sent>;
  sync(...mails: readonly FoundMail[]): Promise<PageResult>;
  /** A mail that answers `parent`; from Kim, with an id of its own, unless `fields` say otherwise. */
  answer(parent: string, fields?: readonly string[], found?: Partial<FoundMail>): FoundMail;
  /** Facts but those of grants, in order. */
  told(): Promise<readonly Told[]>;
  events(): Promise<readonly RecordedEvent[]>;
}

/** In an application of its own. */
export async function pageGround({ sql }: TestDatabase): Promise<PageGround> {
  const application = await createApplication(sql, { name: `page ${++applications}`, environment: 'production' });
  assert.ok(application);
  const { serial: app } = application;
  let grants = 0;
  const newGrant = async (): Promise<Grant> => {
    const owner = { email: `alice${++grants}@shop.test` };
    return (await openPracticeGrant({ sql, vault }, app, owner)).grant;
  };
  const grant = await newGrant();
  const lease = { app, grantId: grant.id, nodeId: uuidv7(), epoch: 1 };
  await sql`insert into watches (app, grant_id, node_id, epoch) values (${app}, ${grant.id}, ${lease.nodeId}, 1)`;
  let cursors = 0;
  const ground: PageGround = {
    grant,
    box: lyingMails(),
    lease,
    settings: DEFAULT_SETTINGS,
    tellsOfMail: false,
    woken: 0,
    newGrant,
    async sent({ by = grant, threadReplies = true, ancestors = [], subject = 'Renewal', thread } = {}) {
      const id = uuidv7();
      const sent: Sent = { id, header: `<${id}@shop.test>`, thread: thread ?? wireId('thr', id) };
      const tracked = { label: 'spring', opens: false, links: false, threadReplies, ancestors, subject, metadata: {} };
      const names = { app, id, grantId: by.id, messageId: sent.header, threadId: sent.thread };
      await reserveAll(sql, [{ message: { ...tracked, ...names }, links: [] }]);
      const result = { state: 'sent', messageId: sent.header, providerMessageId: null } as const;
      await settleAll(sql, [{ app, id, result, telling: telling(false, null, null) }]);
      return sent;
    },
    sync(...mails) {
      const run: SyncRun = { lease: ground.lease, grant, settings: ground.settings, mailbox: ground.box.mailbox };
      const deps = {
        ...{ sql, keys, log: makeLog('silent'), counts: noAnswers() },
        onFacts: () => {
          ground.woken += 1;
        },
        tellsOfMail: async () => ground.tellsOfMail,
        cleaner: () => ({ html: (body: string) => body, text: (body: string) => body }),
      };
      return syncPage(deps, run, { mails, cursor: { at: ++cursors }, isLast: true });
    },
    answer(parent, fields = [], found = {}) {
      const has = (name: string): boolean => fields.some((field) => field.startsWith(`${name}:`));
      const from = has('From') ? [] : ['From: Kim <kim@client.test>'];
      const id = has('Message-ID') ? [] : [`Message-ID: <answer-${++letters}@client.test>`];
      const head = [...from, ...id, `In-Reply-To: ${parent}`, 'Subject: Re: Renewal', ...fields];
      return ground.box.put(head, 'Yes', found);
    },
    async told() {
      const facts = await sql<Told[]>`
        select trigger, sequence, message_id as "messageId", detail from outbox
        where app = ${app} and trigger not like 'grant.%' order by position`;
      return [...facts];
    },
    async events() {
      const rows = await sql<RecordedEvent[]>`
        select class, sequence, reasons from events where app = ${app} order by happened_at, id`;
      return [...rows];
    },
  };
  return ground;
}
