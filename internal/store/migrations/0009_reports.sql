-- What reports read: sums by the quarter of an hour, and of hours and days that are over, by source and event type, and by zone, sub-zone and request_var. A row with a
-- currency has the rewards that were granted in it, and their sum; one without has the rest, and the estimated prices of what was valued.
CREATE TABLE source_counts (
  span       INTEGER NOT NULL, -- of the row, in quarters of an hour: 1; 4 and 96 are sums of those, written once they are over
  quarter    INTEGER NOT NULL, -- that it begins with, since 1970 UTC
  app        TEXT NOT NULL,
  source     TEXT NOT NULL,
  event_type TEXT NOT NULL,
  currency   TEXT NOT NULL,
  accepted   INTEGER NOT NULL,
  held       INTEGER NOT NULL,
  duplicates INTEGER NOT NULL,
  refused    INTEGER NOT NULL,
  unverified INTEGER NOT NULL,
  valued     INTEGER NOT NULL,
  not_valued INTEGER NOT NULL,
  shown      INTEGER NOT NULL, -- accepted impressions of carom's SDK
  rewarded   INTEGER NOT NULL,
  declined   INTEGER NOT NULL,
  delivered  INTEGER NOT NULL,
  failed     INTEGER NOT NULL,
  dead       INTEGER NOT NULL,
  expired    INTEGER NOT NULL,
  units      INTEGER NOT NULL, -- the sum is units + nanos / 10^9, each summed by itself
  nanos      INTEGER NOT NULL,
  PRIMARY KEY (span, quarter, app, source, event_type, currency)
) WITHOUT ROWID;

CREATE TABLE spot_counts (
  span        INTEGER NOT NULL,
  quarter     INTEGER NOT NULL,
  app         TEXT NOT NULL,
  zone_id     TEXT NOT NULL,
  sub_zone_id TEXT NOT NULL,
  request_var TEXT NOT NULL,
  currency    TEXT NOT NULL,
  accepted    INTEGER NOT NULL,
  held        INTEGER NOT NULL,
  duplicates  INTEGER NOT NULL,
  refused     INTEGER NOT NULL,
  unverified  INTEGER NOT NULL,
  valued      INTEGER NOT NULL,
  not_valued  INTEGER NOT NULL,
  shown       INTEGER NOT NULL,
  rewarded    INTEGER NOT NULL,
  declined    INTEGER NOT NULL,
  delivered   INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  dead        INTEGER NOT NULL,
  expired     INTEGER NOT NULL,
  units       INTEGER NOT NULL,
  nanos       INTEGER NOT NULL,
  PRIMARY KEY (span, quarter, app, zone_id, sub_zone_id, request_var, currency)
) WITHOUT ROWID;

-- Reasons, and how long it took to confirm a view.
CREATE TABLE detail_counts (
  span    INTEGER NOT NULL,
  quarter INTEGER NOT NULL,
  app     TEXT NOT NULL,
  source  TEXT NOT NULL,
  kind    TEXT NOT NULL, -- refused, unverified, held, declined: by reason; confirm: by step of time
  detail  TEXT NOT NULL,
  n       INTEGER NOT NULL,
  PRIMARY KEY (span, quarter, app, source, kind, detail)
) WITHOUT ROWID;

-- Before which quarter all is in rows of a span.
CREATE TABLE rolled (
  span    INTEGER PRIMARY KEY,
  quarter INTEGER NOT NULL
) WITHOUT ROWID;

-- What was counted before. Sub-zones, times, reasons of what is held and deliveries by source nobody has counted.
INSERT INTO source_counts
  SELECT 1, quarter, app, source, event_type, CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' THEN value ELSE '' END,
    sum(CASE WHEN outcome IN ('accepted', 'unmatched') THEN n ELSE 0 END), sum(CASE WHEN outcome = 'held' THEN n ELSE 0 END),
    sum(CASE WHEN outcome IN ('duplicate', 'duplicate_late', 'conflict') THEN n ELSE 0 END), sum(CASE WHEN substr(outcome, 1, 8) = 'refused:' THEN n ELSE 0 END),
    sum(CASE WHEN substr(outcome, 1, 11) = 'unverified:' THEN n ELSE 0 END),
    sum(CASE WHEN outcome IN ('accepted', 'unmatched') AND value IN ('valued', 'empty') AND event_type <> 'reversal' THEN n ELSE 0 END),
    sum(CASE WHEN outcome IN ('accepted', 'unmatched') AND value = 'not_valued' AND event_type <> 'reversal' THEN n ELSE 0 END), 0,
    sum(CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' THEN n ELSE 0 END),
    sum(CASE WHEN substr(outcome, 1, 16) = 'reward:declined:' AND substr(outcome, 1, 25) <> 'reward:declined:rewarded:' AND substr(outcome, 1, 29) <> 'reward:declined:other_source:'
      AND substr(outcome, 1, 26) <> 'reward:declined:placement:' THEN n ELSE 0 END), 0, 0, 0, 0,
    sum(CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' OR outcome IN ('accepted', 'unmatched') AND value IN ('valued', 'empty') AND event_type <> 'reversal' THEN price_units ELSE 0 END),
    sum(CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' OR outcome IN ('accepted', 'unmatched') AND value IN ('valued', 'empty') AND event_type <> 'reversal' THEN price_nanos ELSE 0 END)
  FROM quarter_counts WHERE source <> '-carom' OR substr(outcome, 1, 7) = 'reward:' GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO spot_counts
  SELECT 1, minute / 15, app, zone_id, '', request_var, CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' THEN value ELSE '' END,
    sum(CASE WHEN outcome IN ('accepted', 'unmatched') THEN n ELSE 0 END), sum(CASE WHEN outcome = 'held' THEN n ELSE 0 END),
    sum(CASE WHEN outcome IN ('duplicate', 'duplicate_late', 'conflict') THEN n ELSE 0 END), 0, 0,
    sum(CASE WHEN outcome IN ('accepted', 'unmatched') AND value IN ('valued', 'empty') AND event_type <> 'reversal' THEN n ELSE 0 END),
    sum(CASE WHEN outcome IN ('accepted', 'unmatched') AND value = 'not_valued' AND event_type <> 'reversal' THEN n ELSE 0 END), 0,
    sum(CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' THEN n ELSE 0 END),
    sum(CASE WHEN substr(outcome, 1, 16) = 'reward:declined:' AND substr(outcome, 1, 25) <> 'reward:declined:rewarded:' AND substr(outcome, 1, 29) <> 'reward:declined:other_source:'
      AND substr(outcome, 1, 26) <> 'reward:declined:placement:' THEN n ELSE 0 END), 0, 0, 0, 0,
    sum(CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' OR outcome IN ('accepted', 'unmatched') AND value IN ('valued', 'empty') AND event_type <> 'reversal' THEN price_units ELSE 0 END),
    sum(CASE WHEN substr(outcome, 1, 15) = 'reward:granted:' OR outcome IN ('accepted', 'unmatched') AND value IN ('valued', 'empty') AND event_type <> 'reversal' THEN price_nanos ELSE 0 END)
  FROM counts WHERE (source <> '-carom' OR substr(outcome, 1, 7) = 'reward:') AND substr(outcome, 1, 8) <> 'refused:' AND substr(outcome, 1, 11) <> 'unverified:'
    AND outcome <> 'reward:uncounted' GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO detail_counts SELECT 1, quarter, app, source, 'refused', substr(outcome, 9), sum(n)
  FROM quarter_counts WHERE substr(outcome, 1, 8) = 'refused:' GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO detail_counts SELECT 1, quarter, app, source, 'unverified', substr(outcome, 12), sum(n)
  FROM quarter_counts WHERE substr(outcome, 1, 11) = 'unverified:' GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO detail_counts SELECT 1, quarter, app, source, 'declined', reason, sum(n)
  FROM quarter_counts JOIN (SELECT 'no_user' AS reason UNION ALL
    SELECT 'no_price' UNION ALL
    SELECT 'untrusted' UNION ALL
    SELECT 'zero' UNION ALL
    SELECT 'transaction' UNION ALL
    SELECT 'reversed' UNION ALL
    SELECT 'cooldown' UNION ALL
    SELECT 'capped' UNION ALL
    SELECT 'no_view') reasons
    ON substr(outcome, 1, 17 + length(reason)) = 'reward:declined:' || reason || ':' GROUP BY 1, 2, 3, 4, 5, 6;

-- Deliveries, by the apps of the endpoints that there are.
INSERT INTO source_counts (span, quarter, app, source, event_type, currency, accepted, held, duplicates, refused, unverified, valued, not_valued, shown,
    rewarded, declined, delivered, failed, dead, expired, units, nanos)
  SELECT 1, minute / 15, o.id, '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, sum(CASE WHEN outcome = 'delivered' THEN n ELSE 0 END),
    sum(CASE WHEN outcome = 'retry' THEN n ELSE 0 END), sum(CASE WHEN outcome = 'dead' THEN n ELSE 0 END),
    sum(CASE WHEN outcome = 'expired' THEN n ELSE 0 END), 0, 0
  FROM delivery_counts JOIN endpoint_numbers e ON e.no = endpoint AND e.deleted_at = 0
    JOIN objects o ON o.kind = 'app' AND substr(e.id, 1, length(o.id) + 1) = o.id || '/'
  WHERE true GROUP BY 1, 2, 3
  ON CONFLICT (span, quarter, app, source, event_type, currency) DO UPDATE SET delivered = source_counts.delivered + excluded.delivered,
    failed = source_counts.failed + excluded.failed, dead = source_counts.dead + excluded.dead, expired = source_counts.expired + excluded.expired;
