/** The statements by which whoever looks at what is cached reads it, each a page of which no more is read than is given. */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/reference.ts';
import type { ContentSummary, ManifestSummary, TagSummary } from './catalog-store.ts';
import { decodeDigest, encodeDigest, keyAfter } from './sqlite-digest.ts';
import { REACHED_CONTENT } from './sqlite-reach.ts';

export interface RepositoryIdRow {
  readonly id: number;
  readonly name: RepositoryName;
}

/** What some rows of one repository come to. `last` is the key to go on from, null where there were none. */
export interface PartOfRepository<K> {
  readonly count: number;
  readonly bytes: number;
  readonly sharedBytes: number;
  readonly usedAt: number | null;
  readonly last: K | null;
}

interface TagRow {
  readonly tag: Tag;
  readonly digest: Buffer;
  readonly mediaType: string;
  readonly size: number;
  readonly checkedAt: number;
  readonly usedAt: number | null;
}

interface ManifestRow {
  readonly digest: Buffer;
  readonly mediaType: string;
  readonly size: number;
  readonly usedAt: number;
}

interface ContentRow {
  readonly usedAt: number;
  readonly repositories: number;
  readonly isHeld: number;
}

type PartStatement<K> = Statement<[number, number, K, number], PartOfRepository<K>>;

export class SqliteCatalogRows {
  readonly #names: Statement<[string, string, number], RepositoryIdRow>;
  readonly #tagsPart: Statement<[number, string, number], PartOfRepository<string>>;
  readonly #parts: Readonly<Record<'manifests' | 'blobs', PartStatement<Buffer>>>;
  readonly #tags: Statement<[number, number, string, number], TagRow>;
  readonly #reachedBytes: Statement<[Buffer], { bytes: number }>;
  readonly #manifests: Statement<[number, Buffer, number], ManifestRow>;
  readonly #tagsOf: Statement<[Buffer, number], { tag: Tag }>;
  readonly #content: Readonly<Record<'manifests' | 'blobs', Statement<[number, Buffer], ContentRow>>>;

  constructor(db: Database) {
    this.#names = db.prepare(
      'SELECT id, name FROM repositories WHERE upstream = ? AND name > ? ORDER BY name LIMIT ?',
    );
    this.#tagsPart = db.prepare(`
      SELECT count(*) AS count, 0 AS bytes, 0 AS sharedBytes, NULL AS usedAt, max(name) AS last
      FROM (SELECT name FROM tags WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?) AS page`);
    this.#parts = { manifests: preparePart(db, 'manifests'), blobs: preparePart(db, 'blobs') };
    this.#tags = db.prepare(`
      SELECT name AS tag, tags.digest, tags.media_type AS mediaType, tags.size, checked_at AS checkedAt,
        (SELECT used_at FROM repository_manifests AS held JOIN manifests USING (digest)
          WHERE held.repository_id = ? AND held.digest = tags.digest) AS usedAt
      FROM tags WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?`);
    this.#reachedBytes = db.prepare(`SELECT sum(heldBytes) AS bytes FROM (${REACHED_CONTENT})`);
    this.#manifests = db.prepare(`
      SELECT digest, media_type AS mediaType, size, used_at AS usedAt
      FROM repository_manifests JOIN manifests USING (digest)
      WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?`);
    this.#tagsOf = db.prepare(
      'SELECT name AS tag FROM tags WHERE digest = ? AND repository_id = ? ORDER BY name',
    );
    this.#content = { manifests: prepareContent(db, 'manifests'), blobs: prepareContent(db, 'blobs') };
  }

  /** The next ones in lexical order, those that hold nothing among them. */
  names(upstream: string, after: string | undefined, size: number): readonly RepositoryIdRow[] {
    return this.#names.all(upstream, after ?? '', size);
  }

  tagsPart(repository: number, after: string | null, size: number): PartOfRepository<string> | undefined {
    return this.#tagsPart.get(repository, after ?? '', size);
  }

  part(
    kind: 'manifests' | 'blobs',
    repository: number,
    after: Buffer | null,
    size: number,
  ): PartOfRepository<Buffer> | undefined {
    return this.#parts[kind].get(repository, repository, after ?? Buffer.alloc(0), size);
  }

  /** The next ones in lexical order, without the bytes that they reach. */
  tags(repository: number, after: Tag | undefined, size: number): readonly Omit<TagSummary, 'bytes'>[] {
    return this.#tags.all(repository, repository, after ?? '', size).map((row) => ({
      tag: row.tag,
      descriptor: { mediaType: row.mediaType, digest: decodeDigest(row.digest), size: row.size },
      checkedAt: row.checkedAt,
      usedAt: row.usedAt ?? undefined,
    }));
  }

  /** Of all that it reaches and anybody holds, itself included. */
  reachedBytes(digest: Digest): number {
    return this.#reachedBytes.get(encodeDigest(digest))?.bytes ?? 0;
  }

  /** The next ones in order of their digests. */
  manifests(repository: number, after: Digest | undefined, size: number): readonly ManifestSummary[] {
    return this.#manifests.all(repository, keyAfter(after), size).map((row) => ({
      descriptor: { mediaType: row.mediaType, digest: decodeDigest(row.digest), size: row.size },
      tags: this.#tagsOf.all(row.digest, repository).map(({ tag }) => tag),
      usedAt: row.usedAt,
    }));
  }

  describe(repository: number, digest: Digest): ContentSummary {
    const key = encodeDigest(digest);
    const row = this.#content.manifests.get(repository, key) ?? this.#content.blobs.get(repository, key);
    if (row === undefined) return { digest, isHeld: false, usedAt: undefined, repositories: 0 };
    return { digest, isHeld: row.isHeld === 1, usedAt: row.usedAt, repositories: row.repositories };
  }
}

function preparePart(db: Database, kind: 'manifests' | 'blobs'): PartStatement<Buffer> {
  return db.prepare(`
    SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes,
      coalesce(sum(iif(EXISTS (
        SELECT 1 FROM repository_${kind} AS other WHERE other.digest = page.digest AND other.repository_id <> ?
      ), size, 0)), 0) AS sharedBytes,
      max(used_at) AS usedAt, max(page.digest) AS last
    FROM (SELECT digest FROM repository_${kind} WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?) AS page
    JOIN ${kind} ON ${kind}.digest = page.digest`);
}

function prepareContent(db: Database, kind: 'manifests' | 'blobs'): Statement<[number, Buffer], ContentRow> {
  return db.prepare(`
    SELECT used_at AS usedAt,
      (SELECT count(*) FROM repository_${kind} AS held WHERE held.digest = ${kind}.digest) AS repositories,
      EXISTS (SELECT 1 FROM repository_${kind} AS held
        WHERE held.repository_id = ? AND held.digest = ${kind}.digest) AS isHeld
    FROM ${kind} WHERE digest = ?`);
}
