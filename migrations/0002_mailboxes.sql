-- Real mailboxes: what a fact about a grant tells, and the copies still to be put into Sent folders.

-- db ------------------------------------------------------------------------------------------------------------

alter table outbox add column detail jsonb;       -- what is told of the subject as it then was

-- notify --------------------------------------------------------------------------------------------------------

alter table notifications add column detail jsonb;

-- tracking ------------------------------------------------------------------------------------------------------

-- Messages are now written down when they are composed, as `sending`. What a process left before that never went out.
update messages set state = 'failed', state_at = now(),
  error = '{"kind": "abandoned", "reason": "the process ended before handing the mail over"}'
where state = 'reserved';

-- send ----------------------------------------------------------------------------------------------------------

-- Mail that went out through a server which keeps no copy itself. Gone once the copy lies in Sent or is given up.
create table sent_copies (
  app             integer not null,
  message_id      uuid not null,
  grant_id        uuid not null,
  header          text not null,                  -- the Message-ID it left with
  raw             bytea not null,                 -- without pixel, with the links as they were written
  attempts        smallint not null default 0,
  next_attempt_at timestamptz not null,
  claimed_until   timestamptz,
  created_at      timestamptz not null default now(),
  primary key (app, message_id)
);
create index sent_copies_due on sent_copies (next_attempt_at);
create index sent_copies_mailbox on sent_copies (app, grant_id, claimed_until);
