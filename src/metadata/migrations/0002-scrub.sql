-- One row once a scrub has begun: how far it has come. `cursor` is the digest of the last blob that was looked at.
CREATE TABLE scrub (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  began_at INTEGER NOT NULL,
  is_complete INTEGER NOT NULL,
  cursor BLOB,
  scanned_blobs INTEGER NOT NULL,
  scanned_bytes INTEGER NOT NULL,
  corrupt_blobs INTEGER NOT NULL,
  last_completed_at INTEGER
) STRICT;
