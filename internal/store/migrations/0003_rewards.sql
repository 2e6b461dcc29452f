-- Rewards, the ledger, and opened views. All of it outlives the events that it came from.

-- In which of the folder's lives a bucket's ids were given out.
ALTER TABLE buckets ADD COLUMN life INTEGER NOT NULL DEFAULT 0;
UPDATE buckets SET life = (SELECT value FROM meta WHERE key = 'incarnation');

CREATE TABLE secrets (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

-- Appended in order of no; only state, until, changed and why change.
CREATE TABLE rewards (
  no          INTEGER PRIMARY KEY,
  life        INTEGER NOT NULL, -- in which its id, and its event's, was given out
  at          INTEGER NOT NULL,
  app         TEXT NOT NULL,
  rule        TEXT NOT NULL,    -- its name within the app
  additional  INTEGER NOT NULL,
  user        TEXT NOT NULL,
  currency    TEXT NOT NULL,
  amount      INTEGER NOT NULL, -- nanos
  state       TEXT NOT NULL,
  until       INTEGER NOT NULL, -- when a held one is due; else 0
  changed     INTEGER NOT NULL,
  why         TEXT NOT NULL,
  event       INTEGER NOT NULL, -- bucket << 25 | seq
  source      TEXT NOT NULL,
  network     TEXT NOT NULL,
  view        BLOB,             -- 128 bits over the view's identity; NULL: granted by hand
  tx          BLOB,             -- 128 bits over source and transaction; NULL: none
  view_id     TEXT NOT NULL,    -- empty: the view was made by its first event and its ymid is unique
  ymid        TEXT NOT NULL,
  zone_id     TEXT NOT NULL,
  request_var TEXT NOT NULL,
  external_id TEXT NOT NULL,    -- the network's transaction
  counted     TEXT NOT NULL     -- what it counted for, see tally.go
);
CREATE INDEX rewards_held ON rewards (until) WHERE state = 'held';

-- Rewards lie in segments, each of which has an index file once it is full.
CREATE TABLE reward_segments (
  segment INTEGER PRIMARY KEY,
  first   INTEGER NOT NULL,
  last    INTEGER NOT NULL DEFAULT 0 -- 0: still open
);

-- Only ever appended to. A line says by itself whose it is and what caused it.
CREATE TABLE ledger (
  reward   INTEGER NOT NULL,
  n        INTEGER NOT NULL, -- 1: the credit; 2: what takes it back
  at       INTEGER NOT NULL,
  app      TEXT NOT NULL,
  user     TEXT NOT NULL,
  currency TEXT NOT NULL,
  amount   INTEGER NOT NULL, -- nanos, below zero for a debit
  event    TEXT NOT NULL,    -- its id
  why      TEXT NOT NULL,
  late     INTEGER NOT NULL, -- 1: not written together with its reward
  PRIMARY KEY (reward, n)
) WITHOUT ROWID;
CREATE INDEX ledger_late ON ledger (app, user, at) WHERE late = 1;

-- The sum of an account's lines is units + nanos / 10^9, each summed by itself, and what the newest rewards add to it, which are
-- folded in now and then. So are those below.
CREATE TABLE balances (
  app      TEXT NOT NULL,
  user     TEXT NOT NULL,
  currency TEXT NOT NULL,
  units    INTEGER NOT NULL,
  nanos    INTEGER NOT NULL,
  changed  INTEGER NOT NULL,
  PRIMARY KEY (app, user, currency)
) WITHOUT ROWID;

-- What was granted under a cap.
CREATE TABLE counters (
  scope   TEXT NOT NULL,
  user    TEXT NOT NULL,
  day     INTEGER NOT NULL, -- 20261122; 0: counted for ever
  rewards INTEGER NOT NULL,
  amount  INTEGER NOT NULL,
  PRIMARY KEY (scope, user, day)
) WITHOUT ROWID;

-- When a rule with a cooldown last granted something to a user.
CREATE TABLE last_grants (
  rule TEXT NOT NULL, -- "app/rule"
  user TEXT NOT NULL,
  at   INTEGER NOT NULL,
  PRIMARY KEY (rule, user)
) WITHOUT ROWID;

-- Transactions and views that were taken back: they earn nothing any more.
CREATE TABLE reversals (
  no      INTEGER PRIMARY KEY,
  sum     BLOB NOT NULL,
  at      INTEGER NOT NULL,
  segment INTEGER NOT NULL -- of rewards, whose keys hold the sum
);
CREATE INDEX reversals_by_segment ON reversals (segment);

CREATE TABLE views (
  no         INTEGER PRIMARY KEY AUTOINCREMENT,
  life       INTEGER NOT NULL,
  app        TEXT NOT NULL,
  user       TEXT NOT NULL,
  ymid       TEXT NOT NULL,
  own        INTEGER NOT NULL, -- 1: the app chose the ymid
  placement  TEXT NOT NULL,
  fixed      INTEGER NOT NULL,
  by_user    INTEGER NOT NULL, -- 1: a network without an id may confirm it
  sources    TEXT NOT NULL,    -- names, separated by spaces
  opened_at  INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
);
CREATE INDEX views_own ON views (app, ymid) WHERE own = 1;
CREATE INDEX views_by_user ON views (app, user) WHERE by_user = 1;
