-- What `carom move` brings from a data folder. Its places have the node 0, whose ids were given out in the life of their bucket.
ALTER TABLE buckets ADD COLUMN life bigint NOT NULL DEFAULT 0; -- of the ids of node 0; 0: there are none

-- What has been brought, each unit in the transaction that brought it.
CREATE TABLE moved (
  unit    text COLLATE "C" PRIMARY KEY,
  version text COLLATE "C" NOT NULL, -- of the rows in the folder: another one means that they have changed since
  rows    bigint NOT NULL,
  sum     bigint NOT NULL,           -- over all columns of all rows, as they were read
  checked integer NOT NULL DEFAULT 0 -- 1: the database was found to hold the same
);
