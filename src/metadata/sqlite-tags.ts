/** The rows of tags. Methods that write are called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { RepositoryKey, TagRecord } from './metadata-store.ts';
import type { RecordAddress } from './record.ts';
import { decodeDigest, encodeDigest } from './sqlite-digest.ts';
import {
  keyOf,
  RETURNING_REPOSITORY,
  type RepositoryRow,
  type SqliteRepositories,
} from './sqlite-repositories.ts';

interface TagRow {
  readonly digest: Buffer;
  readonly media_type: string;
  readonly size: number;
  readonly checked_at: number;
}
type RemovedTagRow = RepositoryRow & { readonly tag: Tag };

export class SqliteTags {
  readonly #repositories: SqliteRepositories;
  readonly #find: Statement<[string, string, string], TagRow>;
  readonly #save: Statement<[number, string, Buffer, string, number, number]>;
  readonly #forget: Statement<[string, string, string]>;
  readonly #page: Statement<[string, string, string, number], { tag: Tag }>;
  readonly #removeTo: Statement<[Buffer], RemovedTagRow>;
  readonly #removeOfRepositoryTo: Statement<[string, string, Buffer], RemovedTagRow>;

  constructor(db: Database, repositories: SqliteRepositories) {
    this.#repositories = repositories;
    this.#find = db.prepare(`
      SELECT tags.digest, media_type, size, checked_at
      FROM repositories JOIN tags ON repository_id = id
      WHERE upstream = ? AND repositories.name = ? AND tags.name = ?`);
    this.#save = db.prepare('INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?, ?, ?)');
    this.#forget = db.prepare(`
      DELETE FROM tags
      WHERE repository_id = (SELECT id FROM repositories WHERE upstream = ? AND name = ?) AND name = ?`);
    this.#page = db.prepare(`
      SELECT tags.name AS tag FROM repositories JOIN tags ON repository_id = id
      WHERE upstream = ? AND repositories.name = ? AND tags.name > ? ORDER BY tags.name LIMIT ?`);
    this.#removeTo = db.prepare(
      `DELETE FROM tags WHERE digest = ? RETURNING name AS tag, ${RETURNING_REPOSITORY}`,
    );
    // Left to itself, SQLite walks through all tags of the repository.
    this.#removeOfRepositoryTo = db.prepare(`
      DELETE FROM tags INDEXED BY tags_by_digest
      WHERE repository_id = (SELECT id FROM repositories WHERE upstream = ? AND name = ?) AND digest = ?
      RETURNING name AS tag, ${RETURNING_REPOSITORY}`);
  }

  find({ upstream, name }: RepositoryKey, tag: Tag): TagRecord | undefined {
    const row = this.#find.get(upstream, name, tag);
    if (row === undefined) return undefined;
    const { media_type: mediaType, size, checked_at: checkedAt } = row;
    return { tag, descriptor: { mediaType, digest: decodeDigest(row.digest), size }, checkedAt };
  }

  save(repository: RepositoryKey, { tag, descriptor, checkedAt }: TagRecord): void {
    const { digest, mediaType, size } = descriptor;
    const id = this.#repositories.idOf(repository);
    this.#save.run(id, tag, encodeDigest(digest), mediaType, size, checkedAt);
  }

  forget({ upstream, name }: RepositoryKey, tag: Tag): boolean {
    return this.#forget.run(upstream, name, tag).changes > 0;
  }

  /** The next ones in lexical order. */
  page({ upstream, name }: RepositoryKey, after: Tag | undefined, size: number): readonly Tag[] {
    return this.#page.all(upstream, name, after ?? '', size).map((row) => row.tag);
  }

  /** Of one repository, or of all: the tags that point to this manifest. */
  removePointingTo(digest: Digest, repository?: RepositoryKey): RecordAddress[] {
    const key = encodeDigest(digest);
    const rows =
      repository === undefined
        ? this.#removeTo.all(key)
        : this.#removeOfRepositoryTo.all(repository.upstream, repository.name, key);
    return rows.map((row) => ({ kind: 'tag', repository: keyOf(row), tag: row.tag }));
  }
}
