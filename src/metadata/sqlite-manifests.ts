/**
 * The rows of manifests: content shared by all, what it points to, and which repositories hold it.
 * Methods that write are called inside a transaction.
 */
import type { Database, Statement } from 'better-sqlite3';
import { algorithmOf, digestOf, type Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ManifestLinks } from '../oci/manifest.ts';
import type { RepositoryKey } from './metadata-store.ts';
import type { RecordAddress } from './record.ts';
import { CorruptIndexError } from './sqlite-corruption.ts';
import { decodeDigest, encodeDigest, keyAfter } from './sqlite-digest.ts';
import {
  keyOf,
  RETURNING_REPOSITORY,
  type RepositoryRow,
  type SqliteRepositories,
} from './sqlite-repositories.ts';
import type { SqliteTags } from './sqlite-tags.ts';

type LinkKind = 'blob' | 'manifest' | 'subject';

interface DescriptorRow {
  readonly digest: Buffer;
  readonly media_type: string;
  readonly size: number;
}
type ManifestRow = DescriptorRow & { readonly bytes: Buffer };

export interface RemovedManifest {
  readonly size: number;
  readonly addresses: readonly RecordAddress[];
}

export class SqliteManifests {
  readonly #repositories: SqliteRepositories;
  readonly #tags: SqliteTags;
  readonly #find: Statement<[string, string, Buffer], ManifestRow>;
  readonly #isHeld: Statement<[string, string, Buffer], { held: number }>;
  readonly #findContent: Statement<[Buffer], ManifestRow>;
  readonly #findDescriptor: Statement<[Buffer], DescriptorRow>;
  readonly #referrers: Statement<[string, string, Buffer, Buffer, number], ManifestRow>;
  readonly #add: Statement<[Buffer, string, number, number]>;
  readonly #addBytes: Statement<[Buffer, Uint8Array]>;
  readonly #addLink: Statement<[Buffer, LinkKind, Buffer]>;
  readonly #hold: Statement<[number, Buffer]>;
  readonly #release: Statement<[string, string, Buffer], RepositoryRow>;
  readonly #releaseAll: Statement<[Buffer], RepositoryRow>;
  readonly #remove: Statement<[Buffer], { size: number }>;
  readonly #removeUnheld: Statement<[Buffer]>;

  constructor(db: Database, repositories: SqliteRepositories, tags: SqliteTags) {
    this.#repositories = repositories;
    this.#tags = tags;
    this.#find = db.prepare(`
      SELECT manifests.digest, media_type, size, bytes
      FROM repositories
      JOIN repository_manifests AS held ON repository_id = id
      JOIN manifests ON manifests.digest = held.digest
      JOIN manifest_bytes ON manifest_bytes.digest = held.digest
      WHERE upstream = ? AND name = ? AND held.digest = ?`);
    this.#isHeld = db.prepare(`
      SELECT 1 AS held FROM repositories JOIN repository_manifests ON repository_id = id
      WHERE upstream = ? AND name = ? AND digest = ?`);
    this.#findContent = db.prepare(`
      SELECT digest, media_type, size, bytes FROM manifests JOIN manifest_bytes USING (digest) WHERE digest = ?`);
    this.#findDescriptor = db.prepare('SELECT digest, media_type, size FROM manifests WHERE digest = ?');
    this.#referrers = db.prepare(`
      SELECT manifests.digest, media_type, size, bytes
      FROM repositories
      JOIN manifest_links AS link
      JOIN repository_manifests AS held ON repository_id = id AND held.digest = link.manifest
      JOIN manifests ON manifests.digest = held.digest
      JOIN manifest_bytes ON manifest_bytes.digest = held.digest
      WHERE upstream = ? AND name = ? AND target = ? AND kind = 'subject' AND manifest > ?
      ORDER BY manifest LIMIT ?`);
    this.#add = db.prepare('INSERT INTO manifests VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING');
    this.#addBytes = db.prepare('INSERT INTO manifest_bytes VALUES (?, ?)');
    this.#addLink = db.prepare('INSERT INTO manifest_links VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
    this.#hold = db.prepare('INSERT INTO repository_manifests VALUES (?, ?) ON CONFLICT DO NOTHING');
    this.#release = db.prepare(`
      DELETE FROM repository_manifests
      WHERE repository_id = (SELECT id FROM repositories WHERE upstream = ? AND name = ?) AND digest = ?
      RETURNING ${RETURNING_REPOSITORY}`);
    this.#releaseAll = db.prepare(
      `DELETE FROM repository_manifests WHERE digest = ? RETURNING ${RETURNING_REPOSITORY}`,
    );
    this.#remove = db.prepare('DELETE FROM manifests WHERE digest = ? RETURNING size');
    this.#removeUnheld = db.prepare(`
      DELETE FROM manifests
      WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM repository_manifests AS held WHERE held.digest = manifests.digest)`);
  }

  find({ upstream, name }: RepositoryKey, digest: Digest): Manifest | undefined {
    return manifestOf(this.#find.get(upstream, name, encodeDigest(digest)));
  }

  isHeld({ upstream, name }: RepositoryKey, digest: Digest): boolean {
    return this.#isHeld.get(upstream, name, encodeDigest(digest)) !== undefined;
  }

  /** Whichever repository holds it. */
  findContent(digest: Digest): Manifest | undefined {
    return manifestOf(this.#findContent.get(encodeDigest(digest)));
  }

  findDescriptor(digest: Digest): Descriptor | undefined {
    const row = this.#findDescriptor.get(encodeDigest(digest));
    return row && descriptorOf(row);
  }

  /** The next ones in order of their digests. */
  referrers(
    { upstream, name }: RepositoryKey,
    subject: Digest,
    after: Digest | undefined,
    size: number,
  ): readonly Manifest[] {
    const rows = this.#referrers.all(upstream, name, encodeDigest(subject), keyAfter(after), size);
    return rows.map((row) => manifestOf(row));
  }

  /** With its links and the tags that point to it. */
  remove(digest: Digest): RemovedManifest | undefined {
    const key = encodeDigest(digest);
    const holders = this.#releaseAll.all(key);
    const row = this.#remove.get(key);
    if (row === undefined) return undefined;
    const held = holders.map((holder) => heldAddress(holder, digest));
    return { size: row.size, addresses: [...held, ...this.#tags.removePointingTo(digest)] };
  }

  save(repository: RepositoryKey, manifest: Manifest, links: ManifestLinks, now: number): void {
    const { mediaType, digest, size } = manifest.descriptor;
    const key = encodeDigest(digest);
    if (this.#add.run(key, mediaType, size, now).changes > 0) {
      this.#addBytes.run(key, manifest.bytes);
      for (const target of links.blobs) this.#addLink.run(key, 'blob', encodeDigest(target));
      for (const target of links.manifests) this.#addLink.run(key, 'manifest', encodeDigest(target));
      if (links.subject !== undefined) this.#addLink.run(key, 'subject', encodeDigest(links.subject));
    }
    this.#hold.run(this.#repositories.idOf(repository), key);
  }

  link(repository: RepositoryKey, digest: Digest): void {
    if (this.findDescriptor(digest) === undefined) return;
    this.#hold.run(this.#repositories.idOf(repository), encodeDigest(digest));
  }

  unlink(repository: RepositoryKey, digest: Digest): readonly RecordAddress[] {
    const key = encodeDigest(digest);
    const holders = this.#release.all(repository.upstream, repository.name, key);
    this.#removeUnheld.run(key);
    const held = holders.map((holder) => heldAddress(holder, digest));
    return [...held, ...this.#tags.removePointingTo(digest, repository)];
  }
}

function heldAddress(holder: RepositoryRow, digest: Digest): RecordAddress {
  return { kind: 'manifest', repository: keyOf(holder), digest };
}

function descriptorOf(row: DescriptorRow): Descriptor {
  return { mediaType: row.media_type, digest: decodeDigest(row.digest), size: row.size };
}

function manifestOf(row: ManifestRow): Manifest;
function manifestOf(row: ManifestRow | undefined): Manifest | undefined;
function manifestOf(row: ManifestRow | undefined): Manifest | undefined {
  if (row === undefined) return undefined;
  const descriptor = descriptorOf(row);
  // SQLite has no checksums: what a failing disk changed inside of these bytes it would give out. 10 us for 10 KiB.
  if (digestOf(row.bytes, algorithmOf(descriptor.digest)) !== descriptor.digest) {
    throw new CorruptIndexError(`it holds a manifest that is not ${descriptor.digest}`);
  }
  return { descriptor, bytes: row.bytes };
}
