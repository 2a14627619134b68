-- What is to be sent: drafts, scheduled mails, their attachments, and what was answered under an idempotency key.

-- db ------------------------------------------------------------------------------------------------------------

-- Bytes that are too many for one statement, in chunks.
create table blobs (
  app        integer not null,
  id         uuid not null,
  size       integer,                             -- bytes; null: still being written
  hash       bytea,                               -- SHA-256
  keep_until timestamptz,                         -- null: until whoever holds it lets go
  holders    integer not null default 0,
  primary key (app, id)
);
create index blobs_expiring on blobs (keep_until) where keep_until is not null;

create table blob_chunks (
  app     integer not null,
  blob_id uuid not null,
  at      integer not null,                       -- from 0
  bytes   bytea not null,
  primary key (app, blob_id, at),
  foreign key (app, blob_id) references blobs (app, id) on delete cascade
);
alter table blob_chunks alter column bytes set storage external; -- what is attached is mostly compressed already

-- grants --------------------------------------------------------------------------------------------------------

alter table applications add column profile jsonb not null default '{}';   -- what an application says of itself

create table redirect_uris (
  app        integer not null references applications (serial) on delete cascade,
  id         uuid not null,
  url        text not null,
  platform   text not null,
  settings   jsonb not null default '{}',
  created_at timestamptz not null default now(),
  primary key (app, id),
  unique (app, url)
);

alter table practice_messages drop constraint practice_messages_folder_check;
alter table practice_messages add constraint practice_messages_folder_check check (folder in ('SENT', 'INBOX', 'DRAFTS'));

-- tracking ------------------------------------------------------------------------------------------------------

drop index messages_idempotency;
alter table messages drop column idempotency_key, drop column request_hash;

-- send ----------------------------------------------------------------------------------------------------------

-- Without its large attachments a copy lies in skeleton, and raw is null: the version before, which may run beside this one
-- for a while, must not keep it like that.
alter table sent_copies alter column raw drop not null;
alter table sent_copies add column skeleton bytea, add column attached jsonb; -- [{at, blob}]: what belongs into it, and where
alter table sent_copies add check ((raw is null) = (skeleton is not null)), add check ((skeleton is null) = (attached is null));

create table drafts (
  app           integer not null,
  id            uuid not null,                    -- UUIDv7; wire id dft_…
  grant_id      uuid not null,
  thread_id     text not null,                    -- wire id
  mail          text not null,                    -- as its author wrote it, as JSON; attachments by their blobs
  subject       text not null,                    -- in lower case, to be searched
  recipients    jsonb not null,                   -- {"to": […], "cc": […], "bcc": […]}, addresses in lower case
  metadata      jsonb not null,
  starred       boolean not null default false,
  attached      boolean not null,
  message_id    uuid,                             -- under which it is being sent; whether it was says that message
  version       integer not null default 1,       -- one more with every change
  kept_version  integer not null default 0,       -- the one that stands in the mailbox; 0: none
  deleted       boolean not null default false,   -- it still has to leave the mailbox
  keep_at       timestamptz default now(),        -- when the mailbox is to be made like this; null: it is
  keep_attempts smallint not null default 0,
  claimed_until timestamptz,
  created_at    timestamptz not null default now(),
  updated_at    timestamptz not null default now(),
  primary key (app, id)
);
create index drafts_mailbox on drafts (app, grant_id, id);
create index drafts_thread on drafts (app, grant_id, thread_id);
create index drafts_keeping on drafts (keep_at) where keep_at is not null;
create index drafts_claimed on drafts (app, grant_id) where claimed_until is not null;
create index drafts_sending on drafts (app, message_id) where message_id is not null;

create table schedules (
  app          integer not null,
  id           uuid not null,                     -- the wire id as it is
  grant_id     uuid not null,
  message_id   uuid not null,                     -- its state says how far it is
  send_at      timestamptz not null,
  next_try_at  timestamptz,                       -- also how long a process has claimed it; null: it is being sent, or was
  attempts     smallint not null default 0,       -- that ended in being put off
  mail         text,                              -- what is to be sent, as JSON; null once it was
  tracked_body text,                              -- where it differs from the author's
  attachments  uuid[] not null default '{}',      -- its blobs
  closed_at    timestamptz,
  created_at   timestamptz not null default now(),
  primary key (app, id),
  unique (app, message_id)
);
create index schedules_due on schedules (next_try_at) where next_try_at is not null;
create index schedules_grant on schedules (app, grant_id, send_at);
create index schedules_open on schedules (send_at) where mail is not null and next_try_at is null;
create index schedules_closed on schedules (closed_at) where closed_at is not null;

-- What a request under an Idempotency-Key was answered.
create table idempotent_requests (
  app          integer not null,
  grant_id     uuid not null,
  key          text not null,
  request_hash bytea not null,
  message_id   uuid not null,                     -- every try of it sends under this id
  started_at   timestamptz not null default now(),
  status       smallint,                          -- null: not answered yet
  answer       text,
  answered_at  timestamptz,
  primary key (app, grant_id, key)
);
create index idempotent_requests_old on idempotent_requests (started_at);
