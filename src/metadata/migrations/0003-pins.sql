-- References that are never evicted, in repositories that need not hold anything. `reference` is a tag or a digest as
-- text: a tag has no colon.
CREATE TABLE pins (
  upstream TEXT NOT NULL,
  repository TEXT NOT NULL,
  reference TEXT NOT NULL,
  PRIMARY KEY (upstream, repository, reference)
) STRICT, WITHOUT ROWID;
