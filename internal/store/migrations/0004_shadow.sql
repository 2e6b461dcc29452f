-- What comparing with today's receivers has found, for sources in shadow. Bounded: counts by the hour, a ring of examples for
-- each kind, and a note for each view of the last days.
CREATE TABLE shadow_counts (
  source TEXT NOT NULL,    -- "app/source"
  hour   INTEGER NOT NULL, -- since 1970
  kind   TEXT NOT NULL,    -- a kind of difference, or "requests", "compared", "agreed", "missed"
  n      INTEGER NOT NULL,
  PRIMARY KEY (source, hour, kind)
) WITHOUT ROWID;

CREATE TABLE shadow_examples (
  source   TEXT NOT NULL,
  kind     TEXT NOT NULL,
  slot     INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  id       TEXT NOT NULL,
  judged   TEXT NOT NULL,
  answered TEXT NOT NULL,
  PRIMARY KEY (source, kind, slot)
) WITHOUT ROWID;

-- What rules would have granted: units + nanos / 10^9, each summed by itself.
CREATE TABLE shadow_grants (
  source   TEXT NOT NULL,
  hour     INTEGER NOT NULL,
  currency TEXT NOT NULL,
  rewards  INTEGER NOT NULL,
  units    INTEGER NOT NULL,
  nanos    INTEGER NOT NULL,
  PRIMARY KEY (source, hour, currency)
) WITHOUT ROWID;

CREATE TABLE shadow_notes (
  sum  BLOB PRIMARY KEY, -- 128 bits over the view's or the source's identity
  at   INTEGER NOT NULL,
  kept INTEGER NOT NULL, -- 1: of a source, and outlives the days
  note BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX shadow_notes_at ON shadow_notes (at) WHERE kept = 0;
