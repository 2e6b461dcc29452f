-- Counts by the quarter of an hour, without the request_var: what reports over months read. Rewards carry their currency as the
-- value, and their amounts as the sum.
CREATE TABLE quarter_counts (
  quarter     INTEGER NOT NULL, -- quarters of an hour since 1970 UTC
  app         TEXT NOT NULL,
  source      TEXT NOT NULL,
  zone_id     TEXT NOT NULL,
  event_type  TEXT NOT NULL,
  value       TEXT NOT NULL,
  outcome     TEXT NOT NULL,
  n           INTEGER NOT NULL,
  price_units INTEGER NOT NULL,
  price_nanos INTEGER NOT NULL,
  PRIMARY KEY (quarter, app, source, zone_id, event_type, value, outcome)
) WITHOUT ROWID;

INSERT INTO quarter_counts
  SELECT minute / 15, app, source, zone_id, event_type, value, outcome, sum(n), sum(price_units), sum(price_nanos)
  FROM counts GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- Statistics that networks gave. Appended; a later statement replaces an earlier one day by day, when both are read.
CREATE TABLE statements (
  no       INTEGER PRIMARY KEY AUTOINCREMENT,
  life     INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  by       TEXT NOT NULL,
  app      TEXT NOT NULL,
  source   TEXT NOT NULL,
  file     TEXT NOT NULL,
  sha256   TEXT NOT NULL,
  reading  TEXT NOT NULL,
  map      TEXT NOT NULL,
  currency TEXT NOT NULL,
  day_zone TEXT NOT NULL,
  first    TEXT NOT NULL, -- day, 2026-03-29
  last     TEXT NOT NULL,
  rows     INTEGER NOT NULL,
  notes    TEXT NOT NULL  -- JSON
);
CREATE UNIQUE INDEX statements_same ON statements (app, source, sha256, reading);

CREATE TABLE statement_rows (
  statement   INTEGER NOT NULL,
  day         TEXT NOT NULL,
  zone_id     TEXT NOT NULL,
  sub_zone_id TEXT NOT NULL,
  impressions INTEGER, -- NULL: not given
  clicks      INTEGER,
  valued      INTEGER,
  revenue     INTEGER, -- nanos
  PRIMARY KEY (statement, day, zone_id, sub_zone_id)
) WITHOUT ROWID;
