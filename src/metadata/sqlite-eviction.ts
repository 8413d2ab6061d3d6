/**
 * Which content was used when, and how the content that was not goes, with all that is of no use without it.
 * Methods that write are called inside a transaction.
 */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { Evicted, EvictionCandidate, Totals } from './metadata-store.ts';
import type { RecordAddress } from './record.ts';
import type { SqliteBlobs } from './sqlite-blobs.ts';
import { CorruptIndexError } from './sqlite-corruption.ts';
import { decodeDigest, encodeDigest } from './sqlite-digest.ts';
import type { SqliteManifests } from './sqlite-manifests.ts';

interface CandidateRow {
  readonly kind: 'blob' | 'manifest';
  readonly digest: Buffer;
  readonly size: number;
  readonly usedAt: number;
}

export interface EvictedRows extends Evicted {
  readonly addresses: readonly RecordAddress[];
}

export class SqliteEviction {
  readonly #manifests: SqliteManifests;
  readonly #blobs: SqliteBlobs;
  readonly #reach: Statement<[Buffer], { digest: Buffer }>;
  readonly #touchBlob: Statement<[number, Buffer, number]>;
  readonly #touchManifest: Statement<[number, Buffer, number]>;
  readonly #oldest: Statement<[number, number], CandidateRow>;
  readonly #needing: Statement<[Buffer], { digest: Buffer }>;
  readonly #emptyIndexes: Statement<[Buffer], { digest: Buffer }>;
  readonly #totals: Statement<[], Totals>;

  constructor(db: Database, manifests: SqliteManifests, blobs: SqliteBlobs) {
    this.#manifests = manifests;
    this.#blobs = blobs;
    this.#reach = db.prepare(`
      WITH RECURSIVE reached (digest) AS (
        VALUES (?)
        UNION
        SELECT target FROM reached JOIN manifest_links ON manifest = reached.digest WHERE kind <> 'subject'
      )
      SELECT digest FROM reached`);
    this.#touchBlob = db.prepare('UPDATE blobs SET used_at = ? WHERE digest = ? AND used_at < ?');
    this.#touchManifest = db.prepare('UPDATE manifests SET used_at = ? WHERE digest = ? AND used_at < ?');
    // SQLite merges the two indexes row by row, so that this reads no more rows than it gives and skips.
    this.#oldest = db.prepare(`
      SELECT 'blob' AS kind, digest, size, used_at AS usedAt FROM blobs
      UNION ALL
      SELECT 'manifest', digest, size, used_at FROM manifests
      ORDER BY usedAt, digest LIMIT ? OFFSET ?`);
    this.#needing = db.prepare(
      "SELECT manifest AS digest FROM manifest_links WHERE target = ? AND kind = 'blob'",
    );
    this.#emptyIndexes = db.prepare(`
      SELECT manifest AS digest FROM manifest_links AS link
      WHERE target = ? AND kind = 'manifest' AND NOT EXISTS (
        SELECT 1 FROM manifest_links AS other JOIN manifests ON digest = other.target
        WHERE other.manifest = link.manifest AND other.kind = 'manifest')`);
    this.#totals = db.prepare(`
      SELECT blobs, blob_bytes AS blobBytes, manifests, manifest_bytes AS manifestBytes FROM totals`);
  }

  /** Itself and, of a manifest, the keys of all that it needs, held or not. */
  reach(digest: Digest): readonly Buffer[] {
    return this.#reach.all(encodeDigest(digest)).map((row) => row.digest);
  }

  leastRecentlyUsed(limit: number, skip: number): readonly EvictionCandidate[] {
    return this.#oldest.all(limit, skip).map((row) => ({ ...row, digest: decodeDigest(row.digest) }));
  }

  totals(): Totals {
    const totals = this.#totals.get();
    if (totals === undefined) throw new CorruptIndexError('it has lost its totals');
    return totals;
  }

  touch(reached: readonly Buffer[], at: number): void {
    for (const key of reached) {
      this.#touchBlob.run(at, key, at);
      this.#touchManifest.run(at, key, at);
    }
  }

  evict({ kind, digest }: Pick<EvictionCandidate, 'kind' | 'digest'>): EvictedRows {
    const addresses: RecordAddress[] = [];
    const going = [digest];
    if (kind === 'blob') {
      const links = this.#blobs.remove(digest);
      if (links === undefined) return { manifests: [], manifestBytes: 0, addresses };
      addresses.push(...links);
      going.splice(0, 1, ...digestsOf(this.#needing.all(encodeDigest(digest))));
    }
    const manifests: Digest[] = [];
    let manifestBytes = 0;
    for (const manifest of going) {
      const removed = this.#manifests.remove(manifest);
      if (removed === undefined) continue;
      manifests.push(manifest);
      manifestBytes += removed.size;
      addresses.push(...removed.addresses);
      going.push(...digestsOf(this.#emptyIndexes.all(encodeDigest(manifest))));
    }
    return { manifests, manifestBytes, addresses };
  }
}

function digestsOf(rows: readonly { readonly digest: Buffer }[]): Digest[] {
  return rows.map((row) => decodeDigest(row.digest));
}
