-- The permanent tables. Events, outcomes and refused postbacks lie in time buckets, whose tables bucket.go makes.
-- Times are milliseconds since 1970 UTC unless a name says otherwise. Events are named by bucket << 25 | seq.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE buckets (
  bucket    INTEGER PRIMARY KEY,
  version   INTEGER NOT NULL,           -- of its tables' schema
  opened_at INTEGER NOT NULL,
  closed_at INTEGER NOT NULL DEFAULT 0, -- 0: still open
  last_at   INTEGER NOT NULL DEFAULT 0, -- receipt of its newest event, set when it closes
  events    INTEGER NOT NULL DEFAULT 0, -- how many, set when it closes
  dropped   INTEGER NOT NULL DEFAULT 0  -- 1: its rows are being deleted, 2: its tables are gone
);

-- A delivery that waits: one that no lane could take at once, or whose attempt failed.
CREATE TABLE due (
  endpoint     INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  ordinal      INTEGER NOT NULL,
  due_at       INTEGER NOT NULL,
  scheduled_at INTEGER NOT NULL, -- when due_at was decided
  accepted_at  INTEGER NOT NULL, -- the deadline counts from here
  attempts     INTEGER NOT NULL, -- made so far
  step         INTEGER NOT NULL, -- how far along the schedule
  sending      INTEGER NOT NULL, -- 1: an attempt that must not be repeated has begun
  PRIMARY KEY (endpoint, event, ordinal)
) WITHOUT ROWID;
CREATE INDEX due_by_time ON due (endpoint, due_at, event);

CREATE TABLE counts (
  minute      INTEGER NOT NULL, -- minutes since 1970 UTC
  app         TEXT NOT NULL,
  source      TEXT NOT NULL,
  zone_id     TEXT NOT NULL,
  request_var TEXT NOT NULL,
  event_type  TEXT NOT NULL,
  value       TEXT NOT NULL,
  outcome     TEXT NOT NULL,
  n           INTEGER NOT NULL,
  price_units INTEGER NOT NULL, -- the sum of estimated prices is price_units + price_nanos / 10^9, each summed by itself
  price_nanos INTEGER NOT NULL,
  PRIMARY KEY (minute, app, source, zone_id, request_var, event_type, value, outcome)
) WITHOUT ROWID;

CREATE TABLE delivery_counts (
  minute   INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  outcome  TEXT NOT NULL,
  n        INTEGER NOT NULL,
  PRIMARY KEY (minute, endpoint, outcome)
) WITHOUT ROWID;

-- A bounded sample of what proved nothing: a ring of slots per source.
CREATE TABLE unverified (
  source       TEXT NOT NULL, -- "app/source", "?" when unknown
  slot         INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  reason       TEXT NOT NULL,
  method       TEXT NOT NULL,
  path         TEXT NOT NULL,
  query        TEXT NOT NULL,
  content_type TEXT NOT NULL,
  body         BLOB,
  client       TEXT NOT NULL,
  PRIMARY KEY (source, slot)
) WITHOUT ROWID;

CREATE TABLE objects (
  kind TEXT NOT NULL, -- publisher, app, source, endpoint, rule
  id   TEXT NOT NULL,
  body TEXT NOT NULL, -- JSON
  PRIMARY KEY (kind, id)
) WITHOUT ROWID;

CREATE TABLE endpoint_numbers (
  no INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  deleted_at INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE api_keys (
  id        TEXT PRIMARY KEY,
  name      TEXT NOT NULL,
  app       TEXT NOT NULL,
  scope     TEXT NOT NULL,
  created   INTEGER NOT NULL,
  last_used INTEGER NOT NULL,
  sum       BLOB NOT NULL UNIQUE
) WITHOUT ROWID;
