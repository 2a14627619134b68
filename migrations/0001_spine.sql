-- Applications, grants, messages, hits and notifications.
-- Owner rooms stand above their tables; nobody else writes them. Keys lead with the application that would shard them.

-- db ------------------------------------------------------------------------------------------------------------

-- One row per key of the keyring that this database has seen; a process whose ring does not match refuses to start.
create table keyring_checks (
  key_id     smallint primary key,
  value      bytea not null,
  created_at timestamptz not null default now()
);

-- What the edge must refuse. The version is moved under its row lock, so versions become visible in order.
create table stop_version (
  singleton boolean primary key default true check (singleton),
  version   bigint not null default 0
);
insert into stop_version default values;

create table stops (
  app        integer not null,
  kind       text not null check (kind in ('grant', 'message', 'host')),
  subject    text not null,                       -- grant serial, message uuid or host name
  action     text not null check (action in ('stop', 'forward')),
  version    bigint not null,
  created_at timestamptz not null default now(),
  primary key (app, kind, subject)
);

-- A committed fact that notify has not yet fanned out. Not a payload: the JSON is rendered at delivery.
create table outbox (
  position    bigint generated always as identity primary key,
  app         integer not null,
  trigger     text not null,
  message_id  uuid,                               -- null where it is not about a message
  sequence    integer,                            -- null where it is not a counted event
  subject     text,                               -- what it is about where that is no message
  link_counts integer[],
  happened_at timestamptz not null,
  failed_at   timestamptz                         -- could not be fanned out: passed over until this is null again
);

-- grants --------------------------------------------------------------------------------------------------------

create table applications (
  serial      integer generated always as identity primary key,     -- travels in tokens
  id          uuid not null unique,
  name        text not null unique check (name <> ''),
  environment text not null check (environment in ('production', 'sandbox')),
  settings    jsonb not null default '{}',
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now()
);

create table api_keys (
  app        integer not null references applications (serial) on delete cascade,
  id         uuid not null,
  hash       bytea not null unique,               -- SHA-256 of the key; the key itself has 256 random bits
  hint       text not null,                       -- its last four characters
  source     text not null check (source in ('setting', 'kept', 'created')),
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (app, id)
);

create table grants (
  app         integer not null references applications (serial),
  serial      integer generated always as identity unique,          -- travels in tokens
  id          uuid not null unique,
  provider    text not null check (provider in ('practice', 'imap', 'google', 'microsoft')),
  email       text not null,
  name        text not null default '',
  state       text not null default 'valid' check (state in ('valid', 'expired', 'deleted')),
  credentials bytea,                              -- sealed by the vault; first byte is the key id
  settings    jsonb not null default '{}',        -- what may be shown
  scope       text[] not null default '{}',
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  deleted_at  timestamptz,
  primary key (app, id),
  check ((state = 'deleted') = (deleted_at is not null))
);
create unique index grants_address on grants (app, lower(email)) where state <> 'deleted';

create table sign_in_tokens (
  hash       bytea primary key,
  expires_at timestamptz not null,
  used_at    timestamptz
);

-- The practice mailbox: mail kept here instead of being delivered.
create table practice_messages (
  app         integer not null,
  id          uuid not null,                      -- UUIDv7, newest last; wire id prm_…
  grant_id    uuid not null,
  folder      text not null check (folder in ('SENT', 'INBOX')),
  message_id  text not null,                      -- the Message-ID header
  subject     text not null,
  sender      jsonb not null,                     -- {name?, email}, as the header has it
  recipients  jsonb not null,                     -- [{name?, email}] of the To header
  envelope    text[] not null,                    -- everyone it was sent to, Bcc included
  size        integer not null,                   -- bytes of raw
  raw         bytea not null,
  received_at timestamptz not null default now(),
  primary key (app, id)
);
create index practice_messages_header on practice_messages (app, grant_id, message_id);
create index practice_messages_mailbox on practice_messages (app, grant_id, id);
create index practice_messages_newest on practice_messages (id);

-- tracking ------------------------------------------------------------------------------------------------------

create type tracking_trigger as enum ('message.opened', 'message.link_clicked', 'thread.replied');

create table messages (
  app                 integer not null references applications (serial),
  id                  uuid not null,              -- UUIDv7; wire id msg_…
  grant_id            uuid not null,
  state               text not null check (state in
    ('scheduled', 'cancelled', 'reserved', 'sending', 'sent', 'failed', 'unknown')),
  label               text not null default '' check (length(label) <= 2048),
  opens               boolean not null,
  links               boolean not null,
  thread_replies      boolean not null,
  link_count          smallint not null default 0,
  message_id          text not null,              -- the Message-ID header
  provider_message_id text,
  thread_id           text not null,
  reply_to            text,                       -- Message-ID this one answers
  ancestors           text[] not null default '{}', -- its References header, oldest first
  subject             text not null default '',
  metadata            jsonb not null default '{}',
  error               jsonb,                      -- why it failed
  idempotency_key     text,
  request_hash        bytea,
  created_at          timestamptz not null default now(),
  state_at            timestamptz not null default now(),
  primary key (app, id)
);
create index messages_header on messages (app, message_id);
create index messages_provider_id on messages (app, grant_id, provider_message_id) where provider_message_id is not null;
create index messages_thread on messages (app, grant_id, thread_id);
create index messages_open_sends on messages (state_at) where state in ('reserved', 'sending', 'unknown');
create unique index messages_idempotency on messages (app, grant_id, idempotency_key) where idempotency_key is not null;

-- Never pruned: a link redirects for ever, also when its destination was too long to travel in it.
create table links (
  app        integer not null,
  message_id uuid not null,
  link_index smallint not null,
  url        text not null,
  primary key (app, message_id, link_index)
);

create table counters (
  app         integer not null,
  message_id  uuid not null,
  trigger     tracking_trigger not null,
  count       integer not null default 0,
  link_counts integer[],
  first_at    timestamptz,
  last_at     timestamptz,
  primary key (app, message_id, trigger)
) with (fillfactor = 60);

-- Every hit, counted or not. Weekly partitions on the UUIDv7, made ahead; an uncounted hit has no sequence.
create table events (
  app         integer not null,
  id          uuid not null,
  message_id  uuid not null,
  trigger     tracking_trigger not null,
  sequence    integer,
  link_index  smallint,
  happened_at timestamptz not null,
  ip          text not null default '',
  user_agent  text not null default '',
  class       text not null,
  reasons     text[] not null default '{}',
  primary key (app, id)
) partition by range (id);
create index events_recents on events (app, message_id, trigger, sequence) where sequence is not null;

-- Hits that could not be recorded, set aside so that they block nothing.
create table quarantine (
  id         uuid primary key,
  reason     text not null,
  hit        jsonb not null,
  created_at timestamptz not null default now()
);

-- notify --------------------------------------------------------------------------------------------------------

create table destinations (
  app                 integer not null references applications (serial),
  id                  uuid not null,
  kind                text not null check (kind in ('webhook', 'pubsub')),
  address             text not null,              -- webhook_url or topic
  description         text not null default '',
  triggers            text[] not null,
  status              text not null check (status in ('active', 'failing', 'failed', 'paused')),
  secret              bytea not null,             -- sealed by the vault
  notification_emails text[] not null default '{}',
  compressed          boolean not null default false,
  status_updated_at   timestamptz not null default now(),
  created_at          timestamptz not null default now(),
  updated_at          timestamptz not null default now(),
  primary key (app, id),
  unique (app, kind, address)
);

-- One fact told under one trigger name; deliveries point to it. Weekly partitions on the UUIDv7.
create table notifications (
  app         integer not null,
  id          uuid not null,                      -- wire id ntf_…, the webhook-id header, the envelope id
  trigger     text not null,
  message_id  uuid,
  sequence    integer,
  subject     text,
  link_counts integer[],
  happened_at timestamptz not null,
  created_at  timestamptz not null default now(),
  primary key (app, id)
) partition by range (id);

-- The notification that still takes in later events of its (message, trigger): only above the flood guard.
create table coalescing_notifications (
  app             integer not null,
  message_id      uuid not null,
  trigger         text not null,
  notification_id uuid not null unique,
  primary key (app, message_id, trigger)
);

-- What is still to be delivered: small, apart from the history.
create table pending_deliveries (
  app             integer not null,
  destination_id  uuid not null,
  notification_id uuid not null,
  round           smallint not null default 0,    -- 0, and one more each time it is delivered again on request
  attempts        smallint not null default 0,    -- of this round
  next_attempt_at timestamptz not null,
  claimed_until   timestamptz,
  primary key (app, destination_id, notification_id)
) with (fillfactor = 70);
create index pending_deliveries_due on pending_deliveries (destination_id, next_attempt_at);

-- Deliveries that came to rest. Weekly partitions on the notification's UUIDv7.
create table deliveries (
  app             integer not null,
  destination_id  uuid not null,
  notification_id uuid not null,
  state           text not null check (state in ('delivered', 'exhausted', 'stopped', 'held')),
  round           smallint not null default 0,
  attempts        smallint not null,              -- of this round
  settled_at      timestamptz not null default now(),
  primary key (app, destination_id, notification_id)
) partition by range (notification_id);
create index deliveries_undelivered on deliveries (app, destination_id, notification_id)
  where state in ('held', 'exhausted');

create table attempts (
  app             integer not null,
  destination_id  uuid not null,
  notification_id uuid not null,
  round           smallint not null default 0,
  attempt         smallint not null,              -- from 1 in each round
  outcome         text not null,
  status_code     smallint,
  started_at      timestamptz not null,
  duration_ms     integer not null,
  answer          text not null default '',       -- the first bytes of the body, for people
  primary key (app, destination_id, notification_id, round, attempt)
) partition by range (notification_id);
