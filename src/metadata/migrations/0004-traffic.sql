-- What was asked and served in each span of time, and in all of them, those that are forgotten included. No record on
-- disk tells it: it is lost with the index.
CREATE TABLE traffic_spans (
  began_at INTEGER PRIMARY KEY,
  requests INTEGER NOT NULL,
  hits INTEGER NOT NULL,
  served_bytes INTEGER NOT NULL,
  hit_bytes INTEGER NOT NULL,
  fetched_bytes INTEGER NOT NULL
) STRICT;

-- One row once anything was counted. `began_at` is that of the first span.
CREATE TABLE traffic_totals (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  began_at INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  hits INTEGER NOT NULL,
  served_bytes INTEGER NOT NULL,
  hit_bytes INTEGER NOT NULL,
  fetched_bytes INTEGER NOT NULL
) STRICT;
