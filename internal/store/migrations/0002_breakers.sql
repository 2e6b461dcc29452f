-- Endpoints whose breaker is open: after a restart they are probed first, as before it.
CREATE TABLE breakers (
  endpoint  INTEGER PRIMARY KEY,
  opened_at INTEGER NOT NULL
);
