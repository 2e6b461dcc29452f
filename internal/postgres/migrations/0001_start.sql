-- The tables of a deployment. Times are milliseconds since 1970 UTC unless a name says otherwise. A place is
-- bucket << 40 | node << 25 | sequence, see place.go; what is accepted lies in partitions, one for each time bucket.

CREATE TABLE meta (
  key   text COLLATE "C" PRIMARY KEY,
  value bigint NOT NULL
);

CREATE TABLE secrets (
  name  text COLLATE "C" PRIMARY KEY,
  value bytea NOT NULL
);

-- One row for each lease of a node's number. Every commit of the node changes its row, so that whoever ends the lease waits for
-- a commit under way, and none comes after it.
CREATE TABLE nodes (
  no       integer PRIMARY KEY,
  life     bigint NOT NULL UNIQUE,      -- in which it gives out its ids
  name     text COLLATE "C" NOT NULL,               -- of the machine
  version  text COLLATE "C" NOT NULL,
  schema   integer NOT NULL,            -- that its release knows
  first_bucket integer NOT NULL DEFAULT 0, -- nothing of it lies in older ones
  ahead_ms bigint NOT NULL DEFAULT 0,   -- how far its clock is ahead of the database's
  began_at bigint NOT NULL,
  seen_at  bigint NOT NULL,             -- the lease runs from here
  commits  bigint NOT NULL DEFAULT 0,   -- so many it has made: tells whether one of unknown outcome was
  mark     bigint NOT NULL DEFAULT 0,   -- the place before which none of its events lives in its memory only
  events   bigint NOT NULL DEFAULT 0,   -- that it has accepted
  attempts bigint NOT NULL DEFAULT 0,   -- whose outcomes it has stored
  rewards  bigint NOT NULL DEFAULT 0,   -- that it has made: the next gets the number behind it
  ended_at bigint NOT NULL DEFAULT 0,   -- 0: the lease stands
  taken_at bigint NOT NULL DEFAULT 0    -- when what it left was taken over; 0: not yet
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Few of many: every beat of every node counts them.
CREATE INDEX nodes_standing ON nodes (no) WHERE ended_at = 0;

-- What one node does for all: it holds the row while its lease stands.
CREATE TABLE duties (
  name   text COLLATE "C" PRIMARY KEY,
  node   integer NOT NULL, -- 0: nobody's
  memory bytea             -- what whoever has it keeps for who has it next; NULL: nothing
);

CREATE TABLE buckets (
  bucket    integer PRIMARY KEY,
  opened_at bigint NOT NULL DEFAULT 0, -- 0: its partitions are there, and nobody writes to it yet
  closed_at bigint NOT NULL DEFAULT 0,
  dropped   integer NOT NULL DEFAULT 0, -- 1: its partitions are going; 2: gone
  life      bigint NOT NULL DEFAULT 0   -- of the ids of node 0, whose events `carom move` has brought from a data folder; 0: there are none
);

CREATE TABLE events (
  place       bigint NOT NULL,
  at          bigint NOT NULL,
  app         text COLLATE "C" NOT NULL,
  source      text COLLATE "C" NOT NULL,
  network     text COLLATE "C" NOT NULL,
  event_type  text COLLATE "C" NOT NULL,
  value       text COLLATE "C" NOT NULL, -- reward_event_type
  ymid        text COLLATE "C" NOT NULL,
  zone_id     text COLLATE "C" NOT NULL,
  sub_zone_id text COLLATE "C" NOT NULL,
  request_var text COLLATE "C" NOT NULL,
  telegram_id text COLLATE "C" NOT NULL,
  price       bigint,        -- nanos; NULL: none
  external_id text COLLATE "C" NOT NULL,
  fields      text,          -- JSON, [[name, value], …]; NULL: none
  flags       integer NOT NULL,
  held        text COLLATE "C" NOT NULL,
  strength    text COLLATE "C" NOT NULL,
  endpoints   text COLLATE "C" NOT NULL, -- numbers of the endpoints it is owed to, "1 7:12 -": behind a colon the number of the reward that is owed
  method      text COLLATE "C" NOT NULL,
  path        text COLLATE "C" NOT NULL, -- masked
  query       text COLLATE "C" NOT NULL,
  content_type text COLLATE "C" NOT NULL,
  headers     text,          -- JSON, as fields
  body        bytea,
  client      text COLLATE "C" NOT NULL,
  user_id     text COLLATE "C" NOT NULL,
  view        text COLLATE "C" NOT NULL, -- id of a view that was opened or whose ymid repeats
  decided     text COLLATE "C" NOT NULL, -- JSON: what became of the rules that count it; empty: none does
  origin      text COLLATE "C" NOT NULL, -- id of what was reprocessed to make it; empty: nothing was
  PRIMARY KEY (place)
) PARTITION BY RANGE (place);
CREATE INDEX events_by_time ON events (at, place);
CREATE INDEX events_by_ymid ON events (ymid) WHERE ymid <> '';
CREATE INDEX events_by_user ON events ((CASE telegram_id WHEN '' THEN user_id ELSE telegram_id END)) WHERE telegram_id <> '' OR user_id <> '';
CREATE INDEX events_by_zone ON events (zone_id, at) WHERE zone_id <> '';

CREATE TABLE outcomes (
  place    bigint NOT NULL, -- of the event
  ordinal  smallint NOT NULL,
  attempt  integer NOT NULL,
  endpoint integer NOT NULL,
  at       bigint NOT NULL,
  took_us  bigint NOT NULL,
  state    text COLLATE "C" NOT NULL,   -- what the delivery became
  due_at   bigint NOT NULL, -- of the next attempt; 0: none
  reason   text COLLATE "C" NOT NULL,
  flags    integer NOT NULL,
  method   text COLLATE "C" NOT NULL,
  url      text COLLATE "C" NOT NULL,
  sent     text COLLATE "C" NOT NULL,
  status   integer NOT NULL,
  answer   bytea,
  node     integer NOT NULL, -- that made the attempt
  PRIMARY KEY (place, ordinal, attempt)
) PARTITION BY RANGE (place);

CREATE TABLE refused (
  place        bigint NOT NULL,
  at           bigint NOT NULL,
  app          text COLLATE "C" NOT NULL,
  source       text COLLATE "C" NOT NULL,
  network      text COLLATE "C" NOT NULL,
  reason       text COLLATE "C" NOT NULL,
  detail       text COLLATE "C" NOT NULL,
  method       text COLLATE "C" NOT NULL,
  path         text COLLATE "C" NOT NULL,
  query        text COLLATE "C" NOT NULL,
  content_type text COLLATE "C" NOT NULL,
  headers      text,
  body         bytea,
  client       text COLLATE "C" NOT NULL,
  PRIMARY KEY (place)
) PARTITION BY RANGE (place);
CREATE INDEX refused_by_time ON refused (at, place);

-- What makes two events the same: the first that claims a key keeps it until it expires. Times are seconds since 2020.
CREATE TABLE keys (
  sum        uuid NOT NULL,
  place      bigint NOT NULL,
  at         integer NOT NULL,
  until      integer NOT NULL,
  agreement  integer NOT NULL, -- a hash over what copies have to agree in
  PRIMARY KEY (sum)
) PARTITION BY HASH (sum);
{keys}

-- A delivery that waits: one that no lane could take at once, or whose attempt failed.
CREATE TABLE due (
  endpoint     integer NOT NULL,
  place        bigint NOT NULL,
  ordinal      smallint NOT NULL,
  due_at       bigint NOT NULL,
  scheduled_at bigint NOT NULL,  -- when due_at was decided
  accepted_at  bigint NOT NULL,  -- the deadline counts from here
  attempts     integer NOT NULL, -- made so far
  step         integer NOT NULL, -- how far along the schedule
  sending      integer NOT NULL, -- 1: an attempt that must not be repeated has begun
  node         integer NOT NULL, -- in whose hands it is; 0: in nobody's
  PRIMARY KEY (endpoint, place, ordinal)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX due_by_time ON due (endpoint, due_at, place) WHERE node = 0;
CREATE INDEX due_in_order ON due (endpoint, accepted_at, place) WHERE node = 0;
CREATE INDEX due_claimed ON due (node) WHERE node <> 0;

CREATE TABLE counts (
  minute      bigint NOT NULL, -- minutes since 1970 UTC
  app         text COLLATE "C" NOT NULL,
  source      text COLLATE "C" NOT NULL,
  zone_id     text COLLATE "C" NOT NULL,
  request_var text COLLATE "C" NOT NULL,
  event_type  text COLLATE "C" NOT NULL,
  value       text COLLATE "C" NOT NULL,
  outcome     text COLLATE "C" NOT NULL,
  node        integer NOT NULL, -- that counted: no two nodes write to one row
  n           bigint NOT NULL,
  price_units bigint NOT NULL, -- the sum of estimated prices is price_units + price_nanos / 10^9, each summed by itself
  price_nanos bigint NOT NULL,
  PRIMARY KEY (minute, app, source, zone_id, request_var, event_type, value, outcome, node)
) WITH (fillfactor = 70);

-- Counts by the quarter of an hour, without the request_var: what reports over months read.
CREATE TABLE quarter_counts (
  quarter     bigint NOT NULL, -- quarters of an hour since 1970 UTC
  app         text COLLATE "C" NOT NULL,
  source      text COLLATE "C" NOT NULL,
  zone_id     text COLLATE "C" NOT NULL,
  event_type  text COLLATE "C" NOT NULL,
  value       text COLLATE "C" NOT NULL,
  outcome     text COLLATE "C" NOT NULL,
  node        integer NOT NULL,
  n           bigint NOT NULL,
  price_units bigint NOT NULL,
  price_nanos bigint NOT NULL,
  PRIMARY KEY (quarter, app, source, zone_id, event_type, value, outcome, node)
) WITH (fillfactor = 70);

CREATE TABLE delivery_counts (
  minute   bigint NOT NULL,
  endpoint bigint NOT NULL,
  outcome  text COLLATE "C" NOT NULL,
  node     integer NOT NULL,
  n        bigint NOT NULL,
  PRIMARY KEY (minute, endpoint, outcome, node)
) WITH (fillfactor = 70);

-- What reports read: sums by the quarter of an hour, and of hours and days that are over, by source and event type, and by zone, sub-zone and request_var. A row with a
-- currency has the rewards that were granted in it, and their sum; one without has the rest, and the estimated prices of what was valued.
CREATE TABLE source_counts (
  span        bigint NOT NULL, -- of the row, in quarters of an hour: 1; 4 and 96 are sums of those, written once they are over
  quarter     bigint NOT NULL, -- that it begins with, since 1970 UTC
  app         text COLLATE "C" NOT NULL,
  source      text COLLATE "C" NOT NULL,
  event_type  text COLLATE "C" NOT NULL,
  currency    text COLLATE "C" NOT NULL,
  node        integer NOT NULL,
  accepted    bigint NOT NULL,
  held        bigint NOT NULL,
  duplicates  bigint NOT NULL,
  refused     bigint NOT NULL,
  unverified  bigint NOT NULL,
  valued      bigint NOT NULL,
  not_valued  bigint NOT NULL,
  shown       bigint NOT NULL,
  rewarded    bigint NOT NULL,
  declined    bigint NOT NULL,
  delivered   bigint NOT NULL,
  failed      bigint NOT NULL,
  dead        bigint NOT NULL,
  expired     bigint NOT NULL,
  units       bigint NOT NULL, -- the sum is units + nanos / 10^9, each summed by itself
  nanos       bigint NOT NULL,
  PRIMARY KEY (span, quarter, app, source, event_type, currency, node)
) WITH (fillfactor = 70);

CREATE TABLE spot_counts (
  span        bigint NOT NULL, -- of the row, in quarters of an hour: 1; 4 and 96 are sums of those, written once they are over
  quarter     bigint NOT NULL, -- that it begins with, since 1970 UTC
  app         text COLLATE "C" NOT NULL,
  zone_id     text COLLATE "C" NOT NULL,
  sub_zone_id text COLLATE "C" NOT NULL,
  request_var text COLLATE "C" NOT NULL,
  currency    text COLLATE "C" NOT NULL,
  node        integer NOT NULL,
  accepted    bigint NOT NULL,
  held        bigint NOT NULL,
  duplicates  bigint NOT NULL,
  refused     bigint NOT NULL,
  unverified  bigint NOT NULL,
  valued      bigint NOT NULL,
  not_valued  bigint NOT NULL,
  shown       bigint NOT NULL,
  rewarded    bigint NOT NULL,
  declined    bigint NOT NULL,
  delivered   bigint NOT NULL,
  failed      bigint NOT NULL,
  dead        bigint NOT NULL,
  expired     bigint NOT NULL,
  units       bigint NOT NULL, -- the sum is units + nanos / 10^9, each summed by itself
  nanos       bigint NOT NULL,
  PRIMARY KEY (span, quarter, app, zone_id, sub_zone_id, request_var, currency, node)
) WITH (fillfactor = 70);

-- Reasons, and how long it took to confirm a view.
CREATE TABLE detail_counts (
  span    bigint NOT NULL,
  quarter bigint NOT NULL,
  app     text COLLATE "C" NOT NULL,
  source  text COLLATE "C" NOT NULL,
  kind    text COLLATE "C" NOT NULL, -- refused, unverified, held, declined: by reason; confirm: by step of time
  detail  text COLLATE "C" NOT NULL,
  node    integer NOT NULL,
  n       bigint NOT NULL,
  PRIMARY KEY (span, quarter, app, source, kind, detail, node)
) WITH (fillfactor = 70);

-- Before which quarter all is in rows of a span.
CREATE TABLE rolled (
  span    bigint PRIMARY KEY,
  quarter bigint NOT NULL
);

-- A bounded sample of what proved nothing: a ring of slots per source.
CREATE TABLE unverified (
  source       text COLLATE "C" NOT NULL, -- "app/source", "?" when unknown
  slot         bigint NOT NULL,
  at           bigint NOT NULL,
  reason       text COLLATE "C" NOT NULL,
  method       text COLLATE "C" NOT NULL,
  path         text COLLATE "C" NOT NULL,
  query        text COLLATE "C" NOT NULL,
  content_type text COLLATE "C" NOT NULL,
  body         bytea,
  client       text COLLATE "C" NOT NULL,
  PRIMARY KEY (source, slot)
);

CREATE TABLE objects (
  kind text COLLATE "C" NOT NULL, -- publisher, app, source, endpoint, rule, zone, creative, dialect
  id   text COLLATE "C" NOT NULL,
  body text COLLATE "C" NOT NULL, -- JSON
  PRIMARY KEY (kind, id)
);

CREATE TABLE endpoint_numbers (
  no         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  id         text COLLATE "C" NOT NULL,
  deleted_at bigint NOT NULL DEFAULT 0
);

CREATE TABLE api_keys (
  id        text COLLATE "C" PRIMARY KEY,
  name      text COLLATE "C" NOT NULL,
  app       text COLLATE "C" NOT NULL,
  scope     text COLLATE "C" NOT NULL,
  created   bigint NOT NULL,
  last_used bigint NOT NULL,
  sum       bytea NOT NULL UNIQUE,
  publisher text COLLATE "C" NOT NULL DEFAULT ''
);

-- People who sign in, what lets them in, what they have saved, and who changed what.
CREATE TABLE members (
  id        text COLLATE "C" PRIMARY KEY,
  email     text COLLATE "C" NOT NULL UNIQUE,
  name      text COLLATE "C" NOT NULL,
  role      text COLLATE "C" NOT NULL,
  publisher text COLLATE "C" NOT NULL,
  disabled  bigint NOT NULL,
  created   bigint NOT NULL,
  last_seen bigint NOT NULL,                -- 0: never
  password  text COLLATE "C" NOT NULL       -- its argon2id hash; empty: none yet
);

CREATE TABLE sessions (
  sum     bytea PRIMARY KEY,
  member  text COLLATE "C" NOT NULL,
  created bigint NOT NULL,
  seen    bigint NOT NULL -- to the minute
);
CREATE INDEX sessions_by_member ON sessions (member);

CREATE TABLE links (
  sum     bytea PRIMARY KEY,
  member  text COLLATE "C" NOT NULL, -- empty: it makes the first one
  created bigint NOT NULL,
  expires bigint NOT NULL
);
CREATE INDEX links_by_member ON links (member);

CREATE TABLE filters (
  member text COLLATE "C" NOT NULL,
  name   text COLLATE "C" NOT NULL,
  page   text COLLATE "C" NOT NULL,
  query  text COLLATE "C" NOT NULL,
  PRIMARY KEY (member, name)
);

-- Only ever appended to.
CREATE TABLE audit (
  no      bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  life    bigint NOT NULL,
  at      bigint NOT NULL,
  kind    text COLLATE "C" NOT NULL,    -- of who did it
  actor   text COLLATE "C" NOT NULL,    -- its id
  name    text COLLATE "C" NOT NULL,
  role    text COLLATE "C" NOT NULL,
  action  text COLLATE "C" NOT NULL,    -- an operation of /v1
  object  text COLLATE "C" NOT NULL,
  outcome text COLLATE "C" NOT NULL,
  status  bigint NOT NULL,
  why     text COLLATE "C" NOT NULL,
  changes text NOT NULL,                -- JSON
  address text COLLATE "C" NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_object ON audit (object, no) WHERE object <> '';

-- The turns that nodes have reserved of an endpoint's rate. Losing them in a crash of the database costs nothing but an early turn,
-- so they are not logged: nobody waits for the disk, nor for a replica.
CREATE UNLOGGED TABLE paces (
  endpoint integer PRIMARY KEY,
  next_us  bigint NOT NULL -- when the next turn is free: microseconds since 1970
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Endpoints whose breaker is open, on any node.
CREATE TABLE breakers (
  endpoint  bigint PRIMARY KEY,
  opened_at bigint NOT NULL
);

-- What requests that carry a key of their caller's were answered: a copy is answered alike for a day, by any node.
CREATE TABLE kept_answers (
  id       bytea PRIMARY KEY, -- 128 bits over who asks and the key
  caller   bytea NOT NULL,    -- 128 bits over who asks
  asked    bytea NOT NULL,    -- 128 bits over what is asked
  at       bigint NOT NULL,
  status   bigint NOT NULL,   -- HTTP; 0: under way
  header   text COLLATE "C" NOT NULL, -- JSON
  body     bytea NOT NULL,
  withheld text COLLATE "C" NOT NULL  -- why there is no body
);
CREATE INDEX kept_answers_caller ON kept_answers (caller);
CREATE INDEX kept_answers_at ON kept_answers (at);

-- Only state, until, changed and why change.
CREATE TABLE rewards (
  no          bigint PRIMARY KEY, -- node << 35 | its count
  life        bigint NOT NULL,    -- in which its id, and its event's, was given out
  at          bigint NOT NULL,
  app         text COLLATE "C" NOT NULL,
  rule        text COLLATE "C" NOT NULL,      -- its name within the app
  additional  bigint NOT NULL,
  "user"      text COLLATE "C" NOT NULL,
  currency    text COLLATE "C" NOT NULL,
  amount      bigint NOT NULL,    -- nanos
  state       text COLLATE "C" NOT NULL,
  until       bigint NOT NULL,    -- when a held one is due; else 0
  changed     bigint NOT NULL,
  why         text COLLATE "C" NOT NULL,
  event       bigint NOT NULL,    -- its place
  source      text COLLATE "C" NOT NULL,
  network     text COLLATE "C" NOT NULL,
  view        bytea,              -- 128 bits over the view's identity; NULL: granted by hand
  tx          bytea,              -- 128 bits over source and transaction; NULL: none
  view_id     text COLLATE "C" NOT NULL,
  ymid        text COLLATE "C" NOT NULL,
  zone_id     text COLLATE "C" NOT NULL,
  request_var text COLLATE "C" NOT NULL,
  external_id text COLLATE "C" NOT NULL,      -- the network's transaction
  counted     text COLLATE "C" NOT NULL       -- what it counted for
) WITH (fillfactor = 95);
CREATE INDEX rewards_held ON rewards (until) WHERE state = 'held';
CREATE INDEX rewards_by_time ON rewards (at, no);
CREATE INDEX rewards_by_user ON rewards (app, "user", at, no);
CREATE INDEX rewards_by_view ON rewards (view) WHERE view IS NOT NULL;
CREATE INDEX rewards_by_tx ON rewards (tx) WHERE tx IS NOT NULL;

-- What views and transactions have earned, and which were taken back: kept for ever, so that nothing earns twice. The row of a sum
-- is locked by every commit that decides about it, and made for that if need be.
CREATE TABLE claims (
  sum      uuid NOT NULL,
  reward   bigint NOT NULL,            -- of a rule that is not additional; 0: none
  rule     text COLLATE "C" NOT NULL,  -- "app/rule" of that reward
  beside   text COLLATE "C" NOT NULL,  -- rules that are additional and have paid, one a line
  reversed integer NOT NULL,           -- 1: taken back, it earns nothing any more
  PRIMARY KEY (sum)
) PARTITION BY HASH (sum);
{claims}

-- Views whose ymid repeats and which an event may still join.
CREATE TABLE joins (
  sum   uuid PRIMARY KEY,
  at    bigint NOT NULL, -- of the latest change
  views text COLLATE "C" NOT NULL    -- JSON: the views, oldest first
);
CREATE INDEX joins_by_time ON joins (at);

-- Only ever appended to. A line says by itself whose it is and what caused it.
CREATE TABLE ledger (
  reward   bigint NOT NULL,
  n        bigint NOT NULL, -- 1: the credit; 2: what takes it back
  at       bigint NOT NULL,
  app      text COLLATE "C" NOT NULL,
  "user"   text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  amount   bigint NOT NULL, -- nanos, below zero for a debit
  event    text COLLATE "C" NOT NULL,   -- its id
  why      text COLLATE "C" NOT NULL,
  late     bigint NOT NULL, -- 1: not written together with its reward
  PRIMARY KEY (reward, n)
);
CREATE INDEX ledger_by_user ON ledger (app, "user", at);

-- The sum of an account's lines is units + nanos / 10^9, each summed by itself.
CREATE TABLE balances (
  app      text COLLATE "C" NOT NULL,
  "user"   text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  units    bigint NOT NULL,
  nanos    bigint NOT NULL,
  changed  bigint NOT NULL,
  PRIMARY KEY (app, "user", currency)
) WITH (fillfactor = 80);

-- What was granted under a cap.
CREATE TABLE counters (
  scope   text COLLATE "C" NOT NULL,
  "user"  text COLLATE "C" NOT NULL,
  day     bigint NOT NULL, -- 20261122; 0: counted for ever
  rewards bigint NOT NULL,
  amount  bigint NOT NULL,
  PRIMARY KEY (scope, "user", day)
) WITH (fillfactor = 80);

-- When a rule with a cooldown last granted something to a user.
CREATE TABLE last_grants (
  rule   text COLLATE "C" NOT NULL, -- "app/rule"
  "user" text COLLATE "C" NOT NULL,
  at     bigint NOT NULL,
  PRIMARY KEY (rule, "user")
) WITH (fillfactor = 80);

CREATE TABLE views (
  no         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  life       bigint NOT NULL,
  app        text COLLATE "C" NOT NULL,
  "user"     text COLLATE "C" NOT NULL,
  ymid       text COLLATE "C" NOT NULL,
  own        bigint NOT NULL, -- 1: the app chose the ymid
  placement  text COLLATE "C" NOT NULL,
  fixed      bigint NOT NULL,
  by_user    bigint NOT NULL, -- 1: a network without an id may confirm it
  sources    text COLLATE "C" NOT NULL,   -- names, separated by spaces
  opened_at  bigint NOT NULL,
  expires_at bigint NOT NULL
);
CREATE UNIQUE INDEX views_own ON views (app, ymid) WHERE own = 1;
CREATE INDEX views_by_user ON views (app, "user", no) WHERE by_user = 1;
CREATE INDEX views_of_user ON views (app, "user");

-- Apps that open views with ymids of their own; see own.go.
CREATE TABLE own_ymids (
  app   text COLLATE "C" PRIMARY KEY,
  known bigint NOT NULL -- 1: all nodes know of it, and views may be opened
);

-- What comparing with today's receivers has found, for sources in shadow.
CREATE TABLE shadow_counts (
  source text COLLATE "C" NOT NULL,   -- "app/source"
  hour   bigint NOT NULL, -- since 1970
  kind   text COLLATE "C" NOT NULL,   -- a kind of difference, or "requests", "compared", "agreed", "missed"
  n      bigint NOT NULL,
  PRIMARY KEY (source, hour, kind)
);

CREATE TABLE shadow_examples (
  source   text COLLATE "C" NOT NULL,
  kind     text COLLATE "C" NOT NULL,
  slot     bigint NOT NULL,
  at       bigint NOT NULL,
  id       text COLLATE "C" NOT NULL,
  judged   text COLLATE "C" NOT NULL,
  answered text COLLATE "C" NOT NULL,
  PRIMARY KEY (source, kind, slot)
);

CREATE TABLE shadow_grants (
  source   text COLLATE "C" NOT NULL,
  hour     bigint NOT NULL,
  currency text COLLATE "C" NOT NULL,
  rewards  bigint NOT NULL,
  units    bigint NOT NULL,
  nanos    bigint NOT NULL,
  PRIMARY KEY (source, hour, currency)
);

CREATE TABLE shadow_notes (
  sum  bytea PRIMARY KEY, -- 128 bits over the view's or the source's identity
  at   bigint NOT NULL,
  kept bigint NOT NULL,   -- 1: of a source, and outlives the days
  note bytea NOT NULL
);
CREATE INDEX shadow_notes_at ON shadow_notes (at) WHERE kept = 0;

-- Statistics that networks gave. Appended; a later statement replaces an earlier one day by day, when both are read.
CREATE TABLE statements (
  no       bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  life     bigint NOT NULL,
  at       bigint NOT NULL,
  by       text COLLATE "C" NOT NULL,
  app      text COLLATE "C" NOT NULL,
  source   text COLLATE "C" NOT NULL,
  file     text COLLATE "C" NOT NULL,
  sha256   text COLLATE "C" NOT NULL,
  reading  text COLLATE "C" NOT NULL,
  map      text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  day_zone text COLLATE "C" NOT NULL,
  first    text COLLATE "C" NOT NULL, -- day, 2026-03-29
  last     text COLLATE "C" NOT NULL,
  rows     bigint NOT NULL,
  notes    text COLLATE "C" NOT NULL  -- JSON
);
CREATE UNIQUE INDEX statements_same ON statements (app, source, sha256, reading);

CREATE TABLE statement_rows (
  statement   bigint NOT NULL,
  day         text COLLATE "C" NOT NULL,
  zone_id     text COLLATE "C" NOT NULL,
  sub_zone_id text COLLATE "C" NOT NULL,
  impressions bigint, -- NULL: not given
  clicks      bigint,
  valued      bigint,
  revenue     bigint, -- nanos
  PRIMARY KEY (statement, day, zone_id, sub_zone_id)
);

-- What `carom move` has brought from a data folder, each part in the transaction that brought it.
CREATE TABLE moved (
  unit    text COLLATE "C" PRIMARY KEY,
  version text COLLATE "C" NOT NULL, -- of the rows in the folder: another one means that they have changed since
  rows    bigint NOT NULL,
  sum     bigint NOT NULL,           -- over all columns of all rows, as they were read
  checked integer NOT NULL DEFAULT 0 -- 1: the database was found to hold the same
);
