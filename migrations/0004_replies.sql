-- Replies: which mailboxes are watched, by whom, how far, and the mail that was found in them.

-- tracking ------------------------------------------------------------------------------------------------------

alter table messages add column active_at timestamptz;          -- when its thread was last written in; null: when it was sent
alter table messages add column provider_thread_id text;        -- as the provider calls the thread, where it does
create index messages_watched on messages (app, grant_id, state_at) where thread_replies;
create index messages_active on messages (app, grant_id, active_at) where active_at is not null;
create index messages_provider_thread on messages (app, grant_id, provider_thread_id) where provider_thread_id is not null;

-- Mailboxes with messages whose replies are watched for.
create table open_mailboxes (
  app       integer not null,
  grant_id  uuid not null,
  opened_at timestamptz not null default now(),
  active_at timestamptz not null,                 -- when one of its threads was last written in, to the hour
  primary key (app, grant_id)
);
insert into open_mailboxes (app, grant_id, opened_at, active_at)
select app, grant_id, now(), max(state_at) from messages
where thread_replies and state in ('sent', 'unknown') group by app, grant_id;

-- grants --------------------------------------------------------------------------------------------------------

alter table grants add column aliases text[] not null default '{}';   -- other addresses it writes from, in lower case

-- replies -------------------------------------------------------------------------------------------------------

-- Processes that watch mailboxes. One whose seen_at is old has died; its mailboxes go to the others.
create table watch_nodes (
  id      uuid primary key,
  seen_at timestamptz not null default now()
);

create table watches (
  app       integer not null,
  grant_id  uuid not null,
  node_id   uuid,                                 -- who watches it; null: nobody
  epoch     bigint not null default 0,            -- one more with every node that takes it: what an older one writes is refused
  cursor    jsonb,                                -- how far it was read, in the provider's own form; null: not yet
  synced_at timestamptz,                          -- when it was last read to its end
  failures  integer not null default 0,           -- in a row
  problem   text,                                 -- why it cannot be read, for people
  primary key (app, grant_id)
);
create index watches_node on watches (node_id);

-- Mail found in a watched mailbox that answers a message of ours, or that was told of.
create table received_messages (
  app         integer not null,
  grant_id    uuid not null,
  mark        bytea not null,                     -- SHA-256 that is the same for every copy of the mail
  id          uuid not null,                      -- wire id msg_…
  thread_id   text not null,                      -- wire id
  message_id  text not null,                      -- the Message-ID header; '' for none
  root_id     uuid,                               -- the tracked message that it answers; null: none
  class       text not null check (class in ('reply', 'self', 'auto_reply', 'bounce', 'other', 'unrelated')),
  reasons     text[] not null default '{}',
  place       text not null,                      -- where it was last seen, in the provider's own form
  received_at timestamptz not null,
  created_at  timestamptz not null default now(),
  primary key (app, grant_id, mark)
);
create index received_messages_id on received_messages (app, id);
create index received_messages_thread on received_messages (app, grant_id, thread_id);
create index received_messages_unrelated on received_messages (received_at) where root_id is null;
