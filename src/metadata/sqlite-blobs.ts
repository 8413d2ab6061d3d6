/** The rows of blobs, and which repositories hold them. Methods that write are called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { BlobRecord, RepositoryKey } from './metadata-store.ts';
import type { RecordAddress } from './record.ts';
import { decodeDigest, encodeDigest, keyAfter } from './sqlite-digest.ts';
import {
  keyOf,
  RETURNING_REPOSITORY,
  type RepositoryRow,
  type SqliteRepositories,
} from './sqlite-repositories.ts';

/** Of its links, in one transaction: a layer that all stand on is in every repository. */
const LINKS_AT_ONCE = 50;

/** What went of a blob and, where that was the last of it, whether there was a row. */
export interface RemovedBlobPart {
  readonly addresses: readonly RecordAddress[];
  readonly gone: { readonly wasKnown: boolean } | undefined;
}

export class SqliteBlobs {
  readonly #repositories: SqliteRepositories;
  readonly #find: Statement<[string, string, Buffer], { size: number }>;
  readonly #add: Statement<[Buffer, number, number]>;
  readonly #hold: Statement<[number, Buffer]>;
  readonly #isKnown: Statement<[Buffer], { known: number }>;
  readonly #release: Statement<[Buffer, Buffer, number], RepositoryRow>;
  readonly #remove: Statement<[Buffer]>;
  readonly #removeUnheld: Statement<[Buffer]>;
  readonly #page: Statement<[Buffer, number], { digest: Buffer; size: number }>;

  constructor(db: Database, repositories: SqliteRepositories) {
    this.#repositories = repositories;
    this.#find = db.prepare(`
      SELECT size
      FROM repositories
      JOIN repository_blobs AS held ON repository_id = id
      JOIN blobs ON blobs.digest = held.digest
      WHERE upstream = ? AND name = ? AND held.digest = ?`);
    this.#add = db.prepare('INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
    this.#hold = db.prepare('INSERT INTO repository_blobs VALUES (?, ?) ON CONFLICT DO NOTHING');
    this.#isKnown = db.prepare('SELECT 1 AS known FROM blobs WHERE digest = ?');
    this.#release = db.prepare(`
      DELETE FROM repository_blobs
      WHERE digest = ? AND repository_id IN (SELECT repository_id FROM repository_blobs WHERE digest = ? LIMIT ?)
      RETURNING ${RETURNING_REPOSITORY}`);
    this.#remove = db.prepare('DELETE FROM blobs WHERE digest = ?');
    this.#removeUnheld = db.prepare(`
      DELETE FROM blobs
      WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held WHERE held.digest = blobs.digest)`);
    this.#page = db.prepare('SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?');
  }

  find({ upstream, name }: RepositoryKey, digest: Digest): BlobRecord | undefined {
    const row = this.#find.get(upstream, name, encodeDigest(digest));
    return row && { digest, size: row.size };
  }

  /** The next ones in order of their digests. */
  page(after: Digest | undefined, size: number): readonly BlobRecord[] {
    const rows = this.#page.all(keyAfter(after), size);
    return rows.map((row) => ({ digest: decodeDigest(row.digest), size: row.size }));
  }

  isKnown(digest: Digest): boolean {
    return this.#isKnown.get(encodeDigest(digest)) !== undefined;
  }

  /** Some of its links and, with the last of them, its row. */
  removePart(digest: Digest): RemovedBlobPart {
    const key = encodeDigest(digest);
    const holders = this.#release.all(key, key, LINKS_AT_ONCE);
    const isLast = holders.length < LINKS_AT_ONCE;
    const gone = isLast ? { wasKnown: this.#remove.run(key).changes > 0 } : undefined;
    return {
      addresses: holders.map((holder) => ({ kind: 'blob', repository: keyOf(holder), digest })),
      gone,
    };
  }

  /** Whether there was a row that no repository was linked to. */
  removeUnheld(digest: Digest): boolean {
    return this.#removeUnheld.run(encodeDigest(digest)).changes > 0;
  }

  link(repository: RepositoryKey, blob: BlobRecord, now: number): void {
    const key = encodeDigest(blob.digest);
    this.#add.run(key, blob.size, now);
    this.#hold.run(this.#repositories.idOf(repository), key);
  }

  record(blobs: readonly BlobRecord[], at: number): void {
    for (const { digest, size } of blobs) this.#add.run(encodeDigest(digest), size, at);
  }
}
