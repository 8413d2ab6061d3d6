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

/**
 * What is still to go: manifests, then a blob behind those that need it, of which there may be thousands. Wherever that
 * is cut short, there are fewer manifests, and none that needs what went before it.
 */
export interface Eviction {
  readonly blob: Digest | undefined;
  readonly manifests: readonly Digest[];
}

interface EvictedRows extends Evicted {
  readonly addresses: readonly RecordAddress[];
}

export function evictionOf({ kind, digest }: Pick<EvictionCandidate, 'kind' | 'digest'>): Eviction {
  return kind === 'blob' ? { blob: digest, manifests: [] } : { blob: undefined, manifests: [digest] };
}

export interface EvictedPart extends EvictedRows {
  /** Undefined when all has gone. */
  readonly rest: Eviction | undefined;
}

/** What of a manifest's use is noted: a blob, a manifest, or what is asked for itself, which may be known as both. */
export interface ReachedRow {
  readonly digest: Buffer;
  readonly kind: 'blob' | 'manifest' | 'itself';
}

/** In one transaction: each takes 0.2 ms with all its links, in an index of a million blobs. */
const MANIFESTS_AT_ONCE = 8;

export class SqliteEviction {
  readonly #manifests: SqliteManifests;
  readonly #blobs: SqliteBlobs;
  readonly #reach: Statement<[Buffer], ReachedRow>;
  readonly #touchBlob: Statement<[number, Buffer, number]>;
  readonly #touchManifest: Statement<[number, Buffer, number]>;
  readonly #oldest: Statement<[number, number], CandidateRow>;
  readonly #needing: Statement<[Buffer, number], { digest: Buffer }>;
  readonly #emptyIndexes: Statement<[Buffer], { digest: Buffer }>;
  readonly #totals: Statement<[], Totals>;

  constructor(db: Database, manifests: SqliteManifests, blobs: SqliteBlobs) {
    this.#manifests = manifests;
    this.#blobs = blobs;
    this.#reach = db.prepare(`
      WITH RECURSIVE reached (digest, kind) AS (
        VALUES (?, 'itself')
        UNION
        SELECT target, link.kind FROM reached JOIN manifest_links AS link ON manifest = reached.digest
        WHERE reached.kind <> 'blob' AND link.kind <> 'subject'
      )
      SELECT digest, kind FROM reached`);
    this.#touchBlob = db.prepare('UPDATE blobs SET used_at = ? WHERE digest = ? AND used_at < ?');
    this.#touchManifest = db.prepare('UPDATE manifests SET used_at = ? WHERE digest = ? AND used_at < ?');
    // SQLite merges the two indexes row by row, so that this reads no more rows than it gives and skips.
    this.#oldest = db.prepare(`
      SELECT 'blob' AS kind, digest, size, used_at AS usedAt FROM blobs
      UNION ALL
      SELECT 'manifest', digest, size, used_at FROM manifests
      ORDER BY usedAt, digest LIMIT ? OFFSET ?`);
    this.#needing = db.prepare(
      "SELECT manifest AS digest FROM manifest_links WHERE target = ? AND kind = 'blob' LIMIT ?",
    );
    this.#emptyIndexes = db.prepare(`
      SELECT manifest AS digest FROM manifest_links AS link
      WHERE target = ? AND kind = 'manifest' AND NOT EXISTS (
        SELECT 1 FROM manifest_links AS other JOIN manifests ON digest = other.target
        WHERE other.manifest = link.manifest AND other.kind = 'manifest')`);
    this.#totals = db.prepare(`
      SELECT blobs, blob_bytes AS blobBytes, manifests, manifest_bytes AS manifestBytes FROM totals`);
  }

  /** Itself and, of a manifest, all that it needs, held or not. */
  reach(digest: Digest): readonly ReachedRow[] {
    return this.#reach.all(encodeDigest(digest));
  }

  leastRecentlyUsed(limit: number, skip: number): readonly EvictionCandidate[] {
    return this.#oldest.all(limit, skip).map((row) => ({ ...row, digest: decodeDigest(row.digest) }));
  }

  totals(): Totals {
    const totals = this.#totals.get();
    if (totals === undefined) throw new CorruptIndexError('it has lost its totals');
    return totals;
  }

  touch(reached: readonly ReachedRow[], at: number): void {
    for (const { digest, kind } of reached) {
      if (kind !== 'manifest') this.#touchBlob.run(at, digest, at);
      if (kind !== 'blob') this.#touchManifest.run(at, digest, at);
    }
  }

  /** Takes out some of what goes, and tells what that leaves to go. */
  evictPart({ blob, manifests }: Eviction): EvictedPart {
    const isBlobKnown = blob !== undefined && this.#blobs.isKnown(blob);
    const needing = isBlobKnown ? digestsOf(this.#needing.all(encodeDigest(blob), MANIFESTS_AT_ONCE)) : [];
    const going = [...new Set([...manifests, ...needing])];
    const { emptied, ...evicted } = this.#evictManifests(going.splice(0, MANIFESTS_AT_ONCE));
    going.push(...emptied);
    const isLastOfManifests = going.length === 0 && needing.length < MANIFESTS_AT_ONCE;
    if (!isBlobKnown || !isLastOfManifests) {
      const isDone = !isBlobKnown && going.length === 0;
      return { ...evicted, rest: isDone ? undefined : { blob, manifests: going } };
    }
    const { addresses, gone } = this.#blobs.removePart(blob);
    return {
      ...evicted,
      addresses: [...evicted.addresses, ...addresses],
      rest: gone ? undefined : { blob, manifests: [] },
    };
  }

  #evictManifests(digests: readonly Digest[]): EvictedRows & { readonly emptied: readonly Digest[] } {
    const addresses: RecordAddress[] = [];
    const manifests: Digest[] = [];
    const emptied: Digest[] = [];
    let manifestBytes = 0;
    for (const digest of digests) {
      const removed = this.#manifests.remove(digest);
      if (removed === undefined) continue;
      manifests.push(digest);
      manifestBytes += removed.size;
      addresses.push(...removed.addresses);
      emptied.push(...digestsOf(this.#emptyIndexes.all(encodeDigest(digest))));
    }
    return { manifests, manifestBytes, addresses, emptied };
  }
}

function digestsOf(rows: readonly { readonly digest: Buffer }[]): Digest[] {
  return rows.map((row) => decodeDigest(row.digest));
}
