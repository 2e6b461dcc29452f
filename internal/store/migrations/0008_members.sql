-- People who sign in, what lets them in, what they have saved, and who changed what.
CREATE TABLE members (
  id        TEXT PRIMARY KEY,
  email     TEXT NOT NULL UNIQUE,
  name      TEXT NOT NULL,
  role      TEXT NOT NULL,
  publisher TEXT NOT NULL,
  disabled  INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  last_seen INTEGER NOT NULL, -- 0: never
  password  TEXT NOT NULL     -- its argon2id hash; empty: none yet
) WITHOUT ROWID;

CREATE TABLE sessions (
  sum     BLOB PRIMARY KEY,
  member  TEXT NOT NULL,
  created INTEGER NOT NULL,
  seen    INTEGER NOT NULL -- to the minute
) WITHOUT ROWID;
CREATE INDEX sessions_by_member ON sessions (member);

CREATE TABLE links (
  sum     BLOB PRIMARY KEY,
  member  TEXT NOT NULL, -- empty: it makes the first one
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX links_by_member ON links (member);

CREATE TABLE filters (
  member TEXT NOT NULL,
  name   TEXT NOT NULL,
  page   TEXT NOT NULL,
  query  TEXT NOT NULL,
  PRIMARY KEY (member, name)
) WITHOUT ROWID;

-- Only ever appended to.
CREATE TABLE audit (
  no      INTEGER PRIMARY KEY AUTOINCREMENT,
  life    INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  kind    TEXT NOT NULL,    -- of who did it
  actor   TEXT NOT NULL,    -- its id
  name    TEXT NOT NULL,
  role    TEXT NOT NULL,
  action  TEXT NOT NULL,    -- an operation of /v1
  object  TEXT NOT NULL,
  outcome TEXT NOT NULL,
  status  INTEGER NOT NULL,
  why     TEXT NOT NULL,
  changes TEXT NOT NULL,    -- JSON
  address TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX audit_by_object ON audit (object, no) WHERE object <> '';
