/* eslint-disable @typescript-eslint/require-await -- the port is async and SQLite is not: `async` makes a throw a rejection */
/**
 * The index in SQLite: each method one transaction on one connection, and its records beside it. The statements
 * are in the sqlite-* files, one for each kind of row.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ManifestLinks } from '../oci/manifest.ts';
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts';
import type { CatalogStore, Pin, TrafficHistory } from './catalog-store.ts';
import type {
  BlobRecord,
  Evicted,
  EvictionCandidate,
  MetadataStore,
  Purged,
  RepositoryKey,
  ScrubStates,
  TagRecord,
  Totals,
} from './metadata-store.ts';
import { pagesOf } from './pages.ts';
import { RecordRemover } from './record-remover.ts';
import { noRecords, type RecordKeeper } from './record.ts';
import { RepositoryPurge } from './repository-purge.ts';
import { SqliteCatalog } from './sqlite-catalog.ts';
import type { OpenedDatabase } from './sqlite-database.ts';
import { evictionOf, type EvictedPart, type Eviction, type ReachedRow } from './sqlite-eviction.ts';
import { SqliteIndex, type SqliteIndexOptions } from './sqlite-index.ts';
import { SqliteTrafficHistory } from './sqlite-traffic-history.ts';

/** Rows that are read at once: 1000 blobs took 3 ms in an index of a million, and a manifest is hashed. */
const PAGE = { blobs: 250, tags: 500, repositories: 100, referrers: 50, pins: 4 } as const;

export interface SqliteMetadataStoreOptions extends Partial<SqliteIndexOptions> {
  readonly path: string;
  readonly records?: RecordKeeper;
}

export interface OpenedMetadataStore extends Omit<OpenedDatabase, 'db'> {
  readonly store: MetadataStore;
  /** The same index without its records, to write the rows that come from them. */
  readonly bare: MetadataStore;
  readonly catalog: CatalogStore;
  /** Not in the records: lost with the index. */
  readonly history: TrafficHistory;
  readonly scrubStates: ScrubStates;
  /** To be called when a rebuild has ended: until then every opening says `isNew`. */
  rebuilt(): void;
  /** To be called when rows and files agree again: until then no closing counts as clean. */
  reconciled(): void;
  /**
   * To be called where `wasClean` is false, while the index is in use; until it has ended, no closing counts as clean.
   * A file that it finds broken is told to `onCorrupt`. Throws the signal's reason once that is aborted.
   */
  check(signal: AbortSignal): Promise<void>;
  /** To be called now and then: keeps the room that the index needs where the disk is full. */
  restoreReserve(): Promise<boolean>;
}

/**
 * A file that is broken, or was found to be while it was in use, is set aside. `onCorrupt` is told once of a file that
 * is found broken from now on: nothing that it says can be trusted, and it is set aside at the next opening.
 * @throws Error where the file can't be opened or belongs to a newer version
 */
export function openSqliteMetadataStore(options: SqliteMetadataStoreOptions): OpenedMetadataStore {
  const { path, records = noRecords, clock = Date.now, onCorrupt = () => undefined } = options;
  const index = new SqliteIndex({ path, clock, onCorrupt });
  return {
    ...index.opened,
    store: new SqliteMetadataStore(index, records, clock),
    bare: new SqliteMetadataStore(index, noRecords, clock),
    catalog: new SqliteCatalog(index),
    history: new SqliteTrafficHistory(index),
    scrubStates: {
      find: async () => index.read(({ scrub }) => scrub.find()),
      save: async (state) => index.write(({ scrub }) => scrub.save(state)),
    },
    rebuilt: () => index.rebuilt(),
    reconciled: () => index.reconciled(),
    check: (signal) => index.check(signal),
    restoreReserve: () => index.restoreReserve(),
  };
}

class SqliteMetadataStore implements MetadataStore {
  readonly #index: SqliteIndex;
  readonly #records: RecordKeeper;
  readonly #removals: RecordRemover;
  readonly #clock: () => number;

  constructor(index: SqliteIndex, records: RecordKeeper, clock: () => number) {
    this.#index = index;
    this.#records = records;
    this.#removals = new RecordRemover(index, records);
    this.#clock = clock;
  }

  async findTag(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined> {
    return this.#index.read(({ tags }) => tags.find(repository, tag));
  }

  async saveTag(repository: RepositoryKey, record: TagRecord): Promise<void> {
    const { tag, descriptor } = record;
    const save = () => this.#index.write(({ tags }) => tags.save(repository, record));
    const known = this.#index.read(({ tags }) => tags.find(repository, tag))?.descriptor;
    // Most often a revalidation: `checkedAt` alone is new, and no part of the record.
    if (known !== undefined && isSame(known, descriptor)) save();
    else await this.#records.add({ kind: 'tag', repository, tag, descriptor }, save);
  }

  async forgetTag(repository: RepositoryKey, tag: Tag): Promise<boolean> {
    const wasKnown = this.#index.write(({ tags }) => tags.forget(repository, tag));
    if (wasKnown) await this.#removals.remove([{ kind: 'tag', repository, tag }]);
    return wasKnown;
  }

  async listTags(repository: RepositoryKey): Promise<readonly Tag[]> {
    const read = (last: Tag | undefined, size: number) =>
      this.#index.read(({ tags }) => tags.page(repository, last, size));
    return (await Array.fromAsync(pagesOf(PAGE.tags, read))).flat();
  }

  async findManifest(repository: RepositoryKey, digest: Digest): Promise<Manifest | undefined> {
    return this.#index.read(({ manifests }) => manifests.find(repository, digest));
  }

  async findManifestAnywhere(digest: Digest): Promise<Descriptor | undefined> {
    return this.#index.read(({ manifests }) => manifests.findDescriptor(digest));
  }

  async saveManifest(repository: RepositoryKey, manifest: Manifest, links: ManifestLinks): Promise<void> {
    await this.#records.add({ kind: 'manifest', repository, manifest }, () =>
      this.#index.write(({ manifests }) => manifests.save(repository, manifest, links, this.#clock())),
    );
  }

  async linkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    const manifest = this.#index.read(({ manifests }) => manifests.findContent(digest));
    if (manifest === undefined) return;
    await this.#records.add({ kind: 'manifest', repository, manifest }, () =>
      this.#index.write(({ manifests }) => manifests.link(repository, digest)),
    );
  }

  async unlinkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    await this.#removals.remove(this.#index.write(({ manifests }) => manifests.unlink(repository, digest)));
  }

  async listReferrers(repository: RepositoryKey, subject: Digest): Promise<readonly Manifest[]> {
    const read = (last: Manifest | undefined, size: number) =>
      this.#index.read(({ manifests }) =>
        manifests.referrers(repository, subject, last?.descriptor.digest, size),
      );
    return (await Array.fromAsync(pagesOf(PAGE.referrers, read))).flat();
  }

  async findBlob(repository: RepositoryKey, digest: Digest): Promise<BlobRecord | undefined> {
    return this.#index.read(({ blobs }) => blobs.find(repository, digest));
  }

  async linkBlob(repository: RepositoryKey, blob: BlobRecord): Promise<void> {
    await this.#records.add({ kind: 'blob', repository, blob }, () =>
      this.#index.write(({ blobs }) => blobs.link(repository, blob, this.#clock())),
    );
  }

  async forgetBlob(digest: Digest): Promise<boolean> {
    for (;;) {
      const { addresses, gone } = this.#index.write(({ blobs }) => blobs.removePart(digest));
      await this.#removals.remove(addresses);
      if (gone) return gone.wasKnown;
      await this.#index.pause();
    }
  }

  async forgetUnheld(digest: Digest): Promise<boolean> {
    return this.#index.write(({ blobs }) => blobs.removeUnheld(digest));
  }

  async listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly RepositoryName[]> {
    const names: RepositoryName[] = [];
    const read = (last: { name: RepositoryName } | undefined, size: number) =>
      this.#index.read(({ repositories }) => repositories.page(upstream, last?.name ?? after, size));
    for await (const page of pagesOf(PAGE.repositories, read)) {
      names.push(...page.filter(({ isHolding }) => isHolding === 1).map(({ name }) => name));
      if (names.length >= limit) break;
    }
    return names.slice(0, limit);
  }

  async recordAccess(digests: Iterable<Digest>, at: number): Promise<void> {
    await this.#index.writeInBatches(this.#reachedBy(digests), ({ eviction }, keys) =>
      eviction.touch(keys, at),
    );
  }

  async leastRecentlyUsed(limit: number, skip = 0): Promise<readonly EvictionCandidate[]> {
    return this.#index.read(({ eviction }) => eviction.leastRecentlyUsed(limit, skip));
  }

  async evict(candidate: Pick<EvictionCandidate, 'kind' | 'digest'>): Promise<Evicted> {
    const manifests: Digest[] = [];
    let manifestBytes = 0;
    for (let rest: Eviction | undefined = evictionOf(candidate); rest;) {
      const going = rest;
      const part: EvictedPart = this.#index.write(({ eviction }) => eviction.evictPart(going));
      manifests.push(...part.manifests);
      manifestBytes += part.manifestBytes;
      await this.#removals.remove(part.addresses);
      rest = part.rest;
      if (rest) await this.#index.pause();
    }
    return { manifests, manifestBytes };
  }

  async totals(): Promise<Totals> {
    return this.#index.read(({ eviction }) => eviction.totals());
  }

  async purge(repository: RepositoryKey, target: Reference | 'all'): Promise<Purged | undefined> {
    const id = this.#index.read(({ repositories }) => repositories.findId(repository));
    if (id === undefined) return undefined;
    return new RepositoryPurge(this.#index, this.#removals, repository, id).run(target);
  }

  async pin(repository: RepositoryKey, reference: Reference): Promise<boolean> {
    let isNew = false;
    await this.#records.add({ kind: 'pin', repository, reference }, () => {
      isNew = this.#index.write(({ pins }) => pins.add(repository, reference));
    });
    return isNew;
  }

  async unpin(repository: RepositoryKey, reference: Reference): Promise<boolean> {
    const wasPinned = this.#index.write(({ pins }) => pins.remove(repository, reference));
    if (wasPinned) await this.#removals.remove([{ kind: 'pin', repository, reference }]);
    return wasPinned;
  }

  async pinnedContent(): Promise<ReadonlyMap<Digest, number>> {
    const content = new Map<Digest, number>();
    const read = (last: Pin | undefined, size: number) =>
      this.#index.read(({ pins }) => pins.page(last, size));
    for await (const page of pagesOf(PAGE.pins, read)) {
      const reached = this.#index.read(({ pins }) => page.flatMap((pin) => pins.reachOf(pin)));
      for (const { digest, heldBytes } of reached) content.set(digest, heldBytes);
    }
    return content;
  }

  async recordFound(blobs: Iterable<BlobRecord>, at: number): Promise<void> {
    await this.#index.writeInBatches(blobs, (tables, batch) => tables.blobs.record(batch, at));
  }

  /** In order of their digests. A page at a time: an open cursor would hold the WAL back while its reader works. */
  async *listBlobs(after?: Digest): AsyncIterable<BlobRecord> {
    const read = (last: BlobRecord | undefined, size: number) =>
      this.#index.read(({ blobs }) => blobs.page(last?.digest ?? after, size));
    for await (const page of pagesOf(PAGE.blobs, read)) yield* page;
  }

  async close(): Promise<void> {
    await this.#index.close();
  }

  *#reachedBy(digests: Iterable<Digest>): Iterable<ReachedRow> {
    for (const digest of digests) yield* this.#index.read(({ eviction }) => eviction.reach(digest));
  }
}

function isSame(a: Descriptor, b: Descriptor): boolean {
  return a.digest === b.digest && a.mediaType === b.mediaType && a.size === b.size;
}
