/* eslint-disable @typescript-eslint/require-await -- the port is async and SQLite is not: `async` makes a throw a rejection */
/**
 * The index in SQLite: each method one transaction on one connection, and its records beside it. The statements
 * are in the sqlite-* files, one for each kind of row.
 */
import { setImmediate } from 'node:timers/promises';
import type { Database } from 'better-sqlite3';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ManifestLinks } from '../oci/manifest.ts';
import type { RepositoryName, Tag } from '../oci/reference.ts';
import type {
  BlobRecord,
  Evicted,
  EvictionCandidate,
  MetadataStore,
  RepositoryKey,
  TagRecord,
  Totals,
} from './metadata-store.ts';
import { noRecords, type RecordAddress, type RecordKeeper } from './record.ts';
import { SqliteBlobs } from './sqlite-blobs.ts';
import { closeDatabase, markRebuilt, openDatabase, type OpenedDatabase } from './sqlite-database.ts';
import { SqliteEviction } from './sqlite-eviction.ts';
import { SqliteManifests } from './sqlite-manifests.ts';
import { SqliteRepositories } from './sqlite-repositories.ts';
import { SqliteTags } from './sqlite-tags.ts';

/** 1000 touches in one transaction blocked the event loop for 80 ms in an index of 10 million blobs. */
const ROWS_PER_TRANSACTION = 100;

export interface SqliteMetadataStoreOptions {
  /** Of the file; its directory is made. */
  readonly path: string;
  readonly records?: RecordKeeper;
  readonly clock?: () => number;
}

export interface OpenedMetadataStore extends Omit<OpenedDatabase, 'db'> {
  readonly store: MetadataStore;
  /** The same index without its records, to write the rows that come from them. */
  readonly bare: MetadataStore;
  /** To be called when a rebuild has ended: until then every opening says `isNew`. */
  rebuilt(): void;
  /** To be called when rows and files agree again: until then no closing counts as clean. */
  reconciled(): void;
}

/** @throws Error where the file can't be opened or belongs to a newer version; a broken file is set aside. */
export function openSqliteMetadataStore(options: SqliteMetadataStoreOptions): OpenedMetadataStore {
  const { path, records = noRecords, clock = Date.now } = options;
  const { db, ...opened } = openDatabase(path, clock);
  const tables = tablesOf(db);
  const state: Soundness = { isSound: opened.wasClean };
  return {
    ...opened,
    store: new SqliteMetadataStore(tables, records, clock, state),
    bare: new SqliteMetadataStore(tables, noRecords, clock, state),
    rebuilt: () => {
      markRebuilt(db);
      state.isSound = true;
    },
    reconciled: () => {
      state.isSound = true;
    },
  };
}

type Tables = ReturnType<typeof tablesOf>;

/** Whether rows and files agree, as far as we know: what the mark of a clean end says. */
interface Soundness {
  isSound: boolean;
}

function tablesOf(db: Database) {
  const repositories = new SqliteRepositories(db);
  const tags = new SqliteTags(db, repositories);
  const manifests = new SqliteManifests(db, repositories, tags);
  const blobs = new SqliteBlobs(db, repositories);
  return { db, repositories, tags, manifests, blobs, eviction: new SqliteEviction(db, manifests, blobs) };
}

class SqliteMetadataStore implements MetadataStore {
  readonly #tables: Tables;
  readonly #records: RecordKeeper;
  readonly #clock: () => number;
  readonly #state: Soundness;

  constructor(tables: Tables, records: RecordKeeper, clock: () => number, state: Soundness) {
    this.#state = state;
    this.#tables = tables;
    this.#records = records;
    this.#clock = clock;
  }

  async findTag(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined> {
    return this.#tables.tags.find(repository, tag);
  }

  async saveTag(repository: RepositoryKey, record: TagRecord): Promise<void> {
    const { tag, descriptor } = record;
    const save = () => this.#write(() => this.#tables.tags.save(repository, record));
    const known = this.#tables.tags.find(repository, tag)?.descriptor;
    // Most often a revalidation: `checkedAt` alone is new, and no part of the record.
    if (known !== undefined && isSame(known, descriptor)) save();
    else await this.#records.add({ kind: 'tag', repository, tag, descriptor }, save);
  }

  async forgetTag(repository: RepositoryKey, tag: Tag): Promise<boolean> {
    const wasKnown = this.#write(() => this.#tables.tags.forget(repository, tag));
    if (wasKnown) await this.#removeRecords([{ kind: 'tag', repository, tag }]);
    return wasKnown;
  }

  async listTags(repository: RepositoryKey): Promise<readonly Tag[]> {
    return this.#tables.tags.list(repository);
  }

  async findManifest(repository: RepositoryKey, digest: Digest): Promise<Manifest | undefined> {
    return this.#tables.manifests.find(repository, digest);
  }

  async findManifestAnywhere(digest: Digest): Promise<Descriptor | undefined> {
    return this.#tables.manifests.findDescriptor(digest);
  }

  async saveManifest(repository: RepositoryKey, manifest: Manifest, links: ManifestLinks): Promise<void> {
    const { manifests } = this.#tables;
    await this.#records.add({ kind: 'manifest', repository, manifest }, () =>
      this.#write(() => manifests.save(repository, manifest, links, this.#clock())),
    );
  }

  async linkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    const { manifests } = this.#tables;
    const manifest = manifests.findContent(digest);
    if (manifest === undefined) return;
    await this.#records.add({ kind: 'manifest', repository, manifest }, () =>
      this.#write(() => manifests.link(repository, digest)),
    );
  }

  async unlinkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    await this.#removeRecords(this.#write(() => this.#tables.manifests.unlink(repository, digest)));
  }

  async listReferrers(repository: RepositoryKey, subject: Digest): Promise<readonly Manifest[]> {
    return this.#tables.manifests.listReferrers(repository, subject);
  }

  async findBlob(repository: RepositoryKey, digest: Digest): Promise<BlobRecord | undefined> {
    return this.#tables.blobs.find(repository, digest);
  }

  async linkBlob(repository: RepositoryKey, blob: BlobRecord): Promise<void> {
    await this.#records.add({ kind: 'blob', repository, blob }, () =>
      this.#write(() => this.#tables.blobs.link(repository, blob, this.#clock())),
    );
  }

  async forgetBlob(digest: Digest): Promise<boolean> {
    const addresses = this.#write(() => this.#tables.blobs.remove(digest));
    await this.#removeRecords(addresses ?? []);
    return addresses !== undefined;
  }

  async listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly RepositoryName[]> {
    return this.#tables.repositories.list(upstream, after, limit);
  }

  async recordAccess(digests: Iterable<Digest>, at: number): Promise<void> {
    const { eviction } = this.#tables;
    await this.#writeInBatches(reachedBy(eviction, digests), (keys) => eviction.touch(keys, at));
  }

  async leastRecentlyUsed(limit: number, skip = 0): Promise<readonly EvictionCandidate[]> {
    return this.#tables.eviction.leastRecentlyUsed(limit, skip);
  }

  async evict(candidate: Pick<EvictionCandidate, 'kind' | 'digest'>): Promise<Evicted> {
    const { addresses, ...evicted } = this.#write(() => this.#tables.eviction.evict(candidate));
    await this.#removeRecords(addresses);
    return evicted;
  }

  async totals(): Promise<Totals> {
    return this.#tables.eviction.totals();
  }

  async recordFound(blobs: Iterable<BlobRecord>, at: number): Promise<void> {
    await this.#writeInBatches(blobs, (batch) => this.#tables.blobs.record(batch, at));
  }

  /** In order of their digests. A page at a time: an open cursor would hold the WAL back while its reader works. */
  async *listBlobs(): AsyncIterable<BlobRecord> {
    let after: Digest | undefined;
    for (;;) {
      const page = this.#tables.blobs.page(after);
      yield* page;
      after = page.at(-1)?.digest;
      if (after === undefined) return;
      await setImmediate();
    }
  }

  async close(): Promise<void> {
    closeDatabase(this.#tables.db, this.#state.isSound);
  }

  #write<T>(work: () => T): T {
    try {
      return this.#tables.db.transaction(work).immediate();
    } catch (error) {
      // The file that this row was for, or whose row this was, may be there or not.
      this.#state.isSound = false;
      throw error;
    }
  }

  /** Others get their turn between two transactions. */
  async #writeInBatches<T>(items: Iterable<T>, write: (batch: readonly T[]) => void): Promise<void> {
    let batch: T[] = [];
    for (const item of items) {
      batch.push(item);
      if (batch.length < ROWS_PER_TRANSACTION) continue;
      this.#write(() => write(batch));
      batch = [];
      await setImmediate();
    }
    if (batch.length > 0) this.#write(() => write(batch));
  }

  async #removeRecords(addresses: readonly RecordAddress[]): Promise<void> {
    for (const address of addresses) await this.#records.remove(address, () => this.#isHeld(address));
  }

  #isHeld(address: RecordAddress): boolean {
    const { tags, manifests, blobs } = this.#tables;
    const { repository } = address;
    switch (address.kind) {
      case 'tag':
        return tags.find(repository, address.tag) !== undefined;
      case 'manifest':
        return manifests.find(repository, address.digest) !== undefined;
      case 'blob':
        return blobs.find(repository, address.digest) !== undefined;
    }
  }
}

function* reachedBy(eviction: SqliteEviction, digests: Iterable<Digest>): Iterable<Buffer> {
  for (const digest of digests) yield* eviction.reach(digest);
}

function isSame(a: Descriptor, b: Descriptor): boolean {
  return a.digest === b.digest && a.mediaType === b.mediaType && a.size === b.size;
}
