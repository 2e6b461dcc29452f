-- What requests that carry a key of their caller's were answered: a copy is answered alike for a day.
CREATE TABLE kept_answers (
  id       BLOB PRIMARY KEY,  -- 128 bits over who asks and the key
  caller   BLOB NOT NULL,     -- 128 bits over who asks
  asked    BLOB NOT NULL,     -- 128 bits over what is asked
  at       INTEGER NOT NULL,
  status   INTEGER NOT NULL,  -- HTTP; 0: under way
  header   TEXT NOT NULL,     -- JSON
  body     BLOB NOT NULL,
  withheld TEXT NOT NULL      -- why there is no body
);
CREATE INDEX kept_answers_caller ON kept_answers (caller);
CREATE INDEX kept_answers_at ON kept_answers (at);
