-- Notifications at full strength: channels beside webhooks, two secrets while one is being replaced, the health of
-- destinations and the mail that tells of it.

-- notify --------------------------------------------------------------------------------------------------------

-- Attempts per destination and five minutes, those about the destination alone (a 410 is about a notification).
create table destination_health (
  app            integer not null,
  destination_id uuid not null,
  bucket         timestamptz not null,            -- the beginning of its five minutes
  succeeded      integer not null default 0,
  failed         integer not null default 0,
  primary key (app, destination_id, bucket)
) with (fillfactor = 60);

-- What a destination was ever sent.
create table destination_counters (
  app             integer not null,
  destination_id  uuid not null,
  attempts        bigint not null default 0,
  delivered       bigint not null default 0,
  exhausted       bigint not null default 0,
  stopped         bigint not null default 0,
  last_success_at timestamptz,
  last_failure_at timestamptz,
  primary key (app, destination_id)
) with (fillfactor = 60);

-- Mail to the people who answer for a destination, until it is sent or given up.
create table destination_notices (
  app             integer not null,
  id              uuid not null,
  destination_id  uuid not null,
  status          text not null check (status in ('failing', 'failed')),
  recipients      text[] not null,
  attempts        smallint not null default 0,
  next_attempt_at timestamptz not null,
  created_at      timestamptz not null,
  primary key (app, id)
);
create index destination_notices_due on destination_notices (next_attempt_at);

-- Of deliveries due at one time the older notification goes first: a later state of a message never overtakes there.
create index pending_deliveries_order on pending_deliveries (destination_id, next_attempt_at, notification_id);
drop index pending_deliveries_due;

-- What can be replayed: `stopped` ones too. Lists of one message's notifications.
drop index deliveries_undelivered;
create index deliveries_undelivered on deliveries (app, destination_id, notification_id) where state <> 'delivered';
create index notifications_message on notifications (app, message_id, id) where message_id is not null;

-- Last, as the others take seconds for each million rows: the API reads this table, and would wait as long.
alter table destinations alter column secret drop not null;                      -- a Pub/Sub topic has none
alter table destinations add constraint destinations_secret check (kind <> 'webhook' or secret is not null);
alter table destinations add column previous_secrets jsonb not null default '[]'; -- [{sealed, until}], newest first
