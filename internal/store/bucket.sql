-- The tables of one time bucket; {n} is its number. Rows are appended in order of seq and never changed.

CREATE TABLE events_{n} (
  seq          INTEGER PRIMARY KEY,
  at           INTEGER NOT NULL,
  app          TEXT NOT NULL,
  source       TEXT NOT NULL,
  network      TEXT NOT NULL,
  event_type   TEXT NOT NULL,
  value        TEXT NOT NULL, -- reward_event_type
  ymid         TEXT NOT NULL,
  zone_id      TEXT NOT NULL,
  sub_zone_id  TEXT NOT NULL,
  request_var  TEXT NOT NULL,
  telegram_id  TEXT NOT NULL,
  price        INTEGER,       -- nanos; NULL: none
  external_id  TEXT NOT NULL,
  fields       TEXT,          -- JSON, [[name, value], …]; NULL: none
  flags        INTEGER NOT NULL,
  held         TEXT NOT NULL,
  strength     TEXT NOT NULL,
  endpoints    TEXT NOT NULL, -- numbers of the endpoints it is owed to, "1 7"
  key          BLOB NOT NULL, -- 128 bits
  key_check    INTEGER NOT NULL,
  method       TEXT NOT NULL,
  path         TEXT NOT NULL, -- masked
  query        TEXT NOT NULL,
  content_type TEXT NOT NULL,
  headers      TEXT,          -- JSON, as fields
  body         BLOB,
  client       TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  also         BLOB,          -- a second key of 128 bits that makes others copies of it; NULL: none
  view         TEXT NOT NULL, -- id of a view that was opened or whose ymid repeats; empty: (source, zone, ymid) names it
  decided      TEXT NOT NULL,    -- JSON: what became of the rules that count it; empty: none does
  origin       TEXT NOT NULL     -- id of what was reprocessed to make it; empty: nothing was
);

CREATE TABLE outcomes_{n} (
  id       INTEGER PRIMARY KEY, -- seq << 26 | ordinal << 16 | attempt
  endpoint INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  took_us  INTEGER NOT NULL,
  state    TEXT NOT NULL,    -- what the delivery became
  due_at   INTEGER NOT NULL, -- of the next attempt; 0: none
  reason   TEXT NOT NULL,
  flags    INTEGER NOT NULL,
  method   TEXT NOT NULL,
  url      TEXT NOT NULL,
  sent     TEXT NOT NULL,
  status   INTEGER NOT NULL,
  answer   BLOB
);

CREATE TABLE refused_{n} (
  seq          INTEGER PRIMARY KEY,
  at           INTEGER NOT NULL,
  app          TEXT NOT NULL,
  source       TEXT NOT NULL,
  network      TEXT NOT NULL,
  reason       TEXT NOT NULL,
  detail       TEXT NOT NULL,
  method       TEXT NOT NULL,
  path         TEXT NOT NULL,
  query        TEXT NOT NULL,
  content_type TEXT NOT NULL,
  headers      TEXT,
  body         BLOB,
  client       TEXT NOT NULL
);
