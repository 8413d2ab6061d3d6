/** What a manifest needs, as far down as it goes: SQL that several statements are made of. */

/** Of the digest that is its one parameter, and of all below it: each with its bytes, 0 where it is not held. */
export const REACHED_CONTENT = `
  WITH RECURSIVE reached (digest) AS (
    VALUES (?)
    UNION
    SELECT target FROM reached JOIN manifest_links AS link ON manifest = reached.digest
    WHERE link.kind <> 'subject'
  )
  SELECT digest, coalesce(
    (SELECT size FROM manifests WHERE manifests.digest = reached.digest),
    (SELECT size FROM blobs WHERE blobs.digest = reached.digest), 0) AS heldBytes
  FROM reached`;
