/** How a repository loses what nobody there needs any more, a small part at a time. All is called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { BlobRecord } from './metadata-store.ts';
import { decodeDigest, encodeDigest, keyAfter } from './sqlite-digest.ts';

/** So many that need one thing are looked through at once: a base layer has an image in every repository. */
const NEEDING_AT_ONCE = 500;

type ContentKind = 'blob' | 'manifest';

export interface TakenManifest {
  readonly digest: Digest;
  /** Of it, where no other repository holds it. */
  readonly freedBytes: number | undefined;
  /** What it needs, and what is about it and held here. */
  readonly blobs: readonly Digest[];
  readonly manifests: readonly Digest[];
}

export interface TakenBlob {
  readonly digest: Digest;
  /** Where no other repository holds it either. */
  readonly unheld: BlobRecord | undefined;
}

/** `next`: what may need it was not looked through to the end; to be called again with that. */
export type Taken<T> = { readonly taken: T | undefined } | { readonly next: Digest };

interface NeedingPage {
  readonly isHeld: number | null;
  readonly count: number;
  readonly last: Buffer | null;
}

export class SqlitePurge {
  readonly #removeTag: Statement<[number, string], { digest: Buffer }>;
  readonly #tagPage: Statement<[number, string, number], { tag: Tag }>;
  readonly #isTagged: Statement<[Buffer, number], { known: number }>;
  readonly #needing: Statement<[number, Buffer, ContentKind, Buffer, number], NeedingPage>;
  readonly #links: Statement<[Buffer], { kind: ContentKind; target: Buffer }>;
  readonly #referrers: Statement<[number, Buffer], { digest: Buffer }>;
  readonly #releaseManifest: Statement<[number, Buffer]>;
  readonly #removeUnheldManifest: Statement<[Buffer], { size: number }>;
  readonly #releaseBlob: Statement<[number, Buffer]>;
  readonly #unheldBlob: Statement<[Buffer], { size: number }>;
  readonly #manifestPage: Statement<[number, Buffer, number], { digest: Buffer }>;
  readonly #blobPage: Statement<[number, Buffer, number], { digest: Buffer }>;

  constructor(db: Database) {
    this.#removeTag = db.prepare('DELETE FROM tags WHERE repository_id = ? AND name = ? RETURNING digest');
    this.#tagPage = db.prepare(
      'SELECT name AS tag FROM tags WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?',
    );
    this.#isTagged = db.prepare('SELECT 1 AS known FROM tags WHERE digest = ? AND repository_id = ? LIMIT 1');
    this.#needing = db.prepare(`
      SELECT max(is_held) AS isHeld, count(*) AS count, max(manifest) AS last FROM (
        SELECT manifest, EXISTS (
          SELECT 1 FROM repository_manifests AS held WHERE repository_id = ? AND held.digest = manifest) AS is_held
        FROM manifest_links WHERE target = ? AND kind = ? AND manifest > ? ORDER BY manifest LIMIT ?) AS page`);
    this.#links = db.prepare(
      "SELECT kind, target FROM manifest_links WHERE manifest = ? AND kind <> 'subject'",
    );
    this.#referrers = db.prepare(`
      SELECT manifest AS digest
      FROM manifest_links JOIN repository_manifests AS held ON repository_id = ? AND held.digest = manifest
      WHERE target = ? AND kind = 'subject'`);
    this.#releaseManifest = db.prepare(
      'DELETE FROM repository_manifests WHERE repository_id = ? AND digest = ?',
    );
    this.#removeUnheldManifest = db.prepare(`
      DELETE FROM manifests
      WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM repository_manifests AS held WHERE held.digest = manifests.digest)
      RETURNING size`);
    this.#releaseBlob = db.prepare('DELETE FROM repository_blobs WHERE repository_id = ? AND digest = ?');
    this.#unheldBlob = db.prepare(`
      SELECT size FROM blobs
      WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM repository_blobs AS held WHERE held.digest = blobs.digest)`);
    this.#manifestPage = db.prepare(
      'SELECT digest FROM repository_manifests WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?',
    );
    this.#blobPage = db.prepare(
      'SELECT digest FROM repository_blobs WHERE repository_id = ? AND digest > ? ORDER BY digest LIMIT ?',
    );
  }

  /** What it pointed to. */
  takeTag(repository: number, tag: Tag): Digest | undefined {
    const row = this.#removeTag.get(repository, tag);
    return row && decodeDigest(row.digest);
  }

  takeTags(repository: number, after: Tag | undefined, size: number): readonly Tag[] {
    const tags = this.#tagPage.all(repository, after ?? '', size).map((row) => row.tag);
    for (const tag of tags) this.takeTag(repository, tag);
    return tags;
  }

  takeManifest(repository: number, digest: Digest): TakenManifest | undefined {
    const key = encodeDigest(digest);
    if (this.#releaseManifest.run(repository, key).changes === 0) return undefined;
    const links = this.#links.all(key);
    const targets = (wanted: ContentKind) =>
      links.filter(({ kind }) => kind === wanted).map(({ target }) => decodeDigest(target));
    const referrers = this.#referrers.all(repository, key).map((row) => decodeDigest(row.digest));
    return {
      digest,
      blobs: targets('blob'),
      manifests: [...targets('manifest'), ...referrers],
      freedBytes: this.#removeUnheldManifest.get(key)?.size,
    };
  }

  /** Unless a tag or another manifest of the repository points to it. */
  takeUnneededManifest(repository: number, digest: Digest, after: Digest | undefined): Taken<TakenManifest> {
    if (this.#isTagged.get(encodeDigest(digest), repository)) return { taken: undefined };
    return this.#takeUnneeded(repository, 'manifest', digest, after, () =>
      this.takeManifest(repository, digest),
    );
  }

  /** Unless a manifest of the repository needs it. */
  takeUnneededBlob(repository: number, digest: Digest, after: Digest | undefined): Taken<TakenBlob> {
    return this.#takeUnneeded(repository, 'blob', digest, after, () => this.#takeBlob(repository, digest));
  }

  takeManifests(repository: number, after: Digest | undefined, size: number): readonly TakenManifest[] {
    const page = this.#manifestPage.all(repository, keyAfter(after), size);
    return page.flatMap((row) => this.takeManifest(repository, decodeDigest(row.digest)) ?? []);
  }

  takeBlobs(repository: number, after: Digest | undefined, size: number): readonly TakenBlob[] {
    const page = this.#blobPage.all(repository, keyAfter(after), size);
    return page.flatMap((row) => this.#takeBlob(repository, decodeDigest(row.digest)) ?? []);
  }

  #takeBlob(repository: number, digest: Digest): TakenBlob | undefined {
    const key = encodeDigest(digest);
    if (this.#releaseBlob.run(repository, key).changes === 0) return undefined;
    const row = this.#unheldBlob.get(key);
    return { digest, unheld: row && { digest, size: row.size } };
  }

  #takeUnneeded<T>(
    repository: number,
    kind: ContentKind,
    digest: Digest,
    after: Digest | undefined,
    take: () => T | undefined,
  ): Taken<T> {
    const page = this.#needing.get(repository, encodeDigest(digest), kind, keyAfter(after), NEEDING_AT_ONCE);
    if (page?.isHeld === 1) return { taken: undefined };
    // The last look is of the same transaction as what rests on it.
    if (!page?.last || page.count < NEEDING_AT_ONCE) return { taken: take() };
    return { next: decodeDigest(page.last) };
  }
}
