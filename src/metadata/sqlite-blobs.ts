/** The rows of blobs, and which repositories hold them. Methods that write are called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { BlobRecord, RepositoryKey } from './metadata-store.ts';
import type { RecordAddress } from './record.ts';
import { decodeDigest, encodeDigest } from './sqlite-digest.ts';
import {
  keyOf,
  RETURNING_REPOSITORY,
  type RepositoryRow,
  type SqliteRepositories,
} from './sqlite-repositories.ts';

const PAGE = 1000;

export class SqliteBlobs {
  readonly #repositories: SqliteRepositories;
  readonly #find: Statement<[string, string, Buffer], { size: number }>;
  readonly #add: Statement<[Buffer, number, number]>;
  readonly #hold: Statement<[number, Buffer]>;
  readonly #releaseAll: Statement<[Buffer], RepositoryRow>;
  readonly #remove: Statement<[Buffer]>;
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
    this.#releaseAll = db.prepare(
      `DELETE FROM repository_blobs WHERE digest = ? RETURNING ${RETURNING_REPOSITORY}`,
    );
    this.#remove = db.prepare('DELETE FROM blobs WHERE digest = ?');
    this.#page = db.prepare('SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?');
  }

  find({ upstream, name }: RepositoryKey, digest: Digest): BlobRecord | undefined {
    const row = this.#find.get(upstream, name, encodeDigest(digest));
    return row && { digest, size: row.size };
  }

  /** The next ones in order of their digests. */
  page(after: Digest | undefined): readonly BlobRecord[] {
    const key = after === undefined ? Buffer.alloc(0) : encodeDigest(after);
    return this.#page.all(key, PAGE).map((row) => ({ digest: decodeDigest(row.digest), size: row.size }));
  }

  /** With its links; undefined where it is not known. */
  remove(digest: Digest): readonly RecordAddress[] | undefined {
    const key = encodeDigest(digest);
    const holders = this.#releaseAll.all(key);
    if (this.#remove.run(key).changes === 0) return undefined;
    return holders.map((holder) => ({ kind: 'blob', repository: keyOf(holder), digest }));
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
