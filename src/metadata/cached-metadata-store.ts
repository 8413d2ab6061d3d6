/**
 * Keeps what is hot of any MetadataStore in memory: the tags, manifests and blobs that were found. Every write
 * passes through here and drops what it may change once it has ended, well or not, so that nothing stale is kept.
 */
import { setImmediate } from 'node:timers/promises';
import type { Digest } from '../oci/digest.ts';
import type { Descriptor, Manifest, ManifestLinks } from '../oci/manifest.ts';
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts';
import { DigestCache } from './digest-cache.ts';
import {
  tagKey,
  type BlobRecord,
  type Evicted,
  type EvictionCandidate,
  type MetadataStore,
  type Purged,
  type RepositoryKey,
  type TagRecord,
  type Totals,
} from './metadata-store.ts';

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
/** Of a purge, before others get their turn: 20 000 blobs at once held them up for 20 ms, and with workers for longer. */
const DROPPED_AT_ONCE = 200;

export class CachedMetadataStore implements MetadataStore {
  readonly #store: MetadataStore;
  readonly #tags: DigestCache<TagRecord>;
  readonly #manifests: DigestCache<Manifest>;
  readonly #blobs: DigestCache<BlobRecord>;
  readonly #onDropped: (key: string | undefined) => void;

  /** @param onDropped told, for whoever keeps what rests on it, of each digest and `tagKey` that is dropped, or of all */
  constructor(
    store: MetadataStore,
    maxBytes = DEFAULT_MAX_BYTES,
    onDropped: (key: string | undefined) => void = () => undefined,
  ) {
    this.#store = store;
    this.#onDropped = onDropped;
    const small = maxBytes / 8;
    this.#tags = new DigestCache(small, (record) => record.descriptor.digest);
    this.#blobs = new DigestCache(small, (blob) => blob.digest);
    this.#manifests = new DigestCache(
      maxBytes - 2 * small,
      (manifest) => manifest.descriptor.digest,
      (manifest) => manifest.bytes.byteLength,
    );
  }

  findTag(repository: RepositoryKey, tag: Tag): Promise<TagRecord | undefined> {
    return this.#tags.find(tagKey(repository, tag), () => this.#store.findTag(repository, tag));
  }

  async saveTag(repository: RepositoryKey, record: TagRecord): Promise<void> {
    try {
      await this.#store.saveTag(repository, record);
    } finally {
      this.#dropTag(repository, record.tag);
    }
  }

  async forgetTag(repository: RepositoryKey, tag: Tag): Promise<boolean> {
    try {
      return await this.#store.forgetTag(repository, tag);
    } finally {
      this.#dropTag(repository, tag);
    }
  }

  listTags(repository: RepositoryKey): Promise<readonly Tag[]> {
    return this.#store.listTags(repository);
  }

  findManifest(repository: RepositoryKey, digest: Digest): Promise<Manifest | undefined> {
    return this.#manifests.find(contentKey(repository, digest), () =>
      this.#store.findManifest(repository, digest),
    );
  }

  findManifestAnywhere(digest: Digest): Promise<Descriptor | undefined> {
    return this.#store.findManifestAnywhere(digest);
  }

  /** Adding drops nothing: absence is not kept, and content that is known stays as it is. */
  saveManifest(repository: RepositoryKey, manifest: Manifest, links: ManifestLinks): Promise<void> {
    return this.#store.saveManifest(repository, manifest, links);
  }

  linkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    return this.#store.linkManifest(repository, digest);
  }

  async unlinkManifest(repository: RepositoryKey, digest: Digest): Promise<void> {
    try {
      await this.#store.unlinkManifest(repository, digest);
    } finally {
      this.#drop(digest);
    }
  }

  listReferrers(repository: RepositoryKey, subject: Digest): Promise<readonly Manifest[]> {
    return this.#store.listReferrers(repository, subject);
  }

  findBlob(repository: RepositoryKey, digest: Digest): Promise<BlobRecord | undefined> {
    return this.#blobs.find(contentKey(repository, digest), () => this.#store.findBlob(repository, digest));
  }

  linkBlob(repository: RepositoryKey, blob: BlobRecord): Promise<void> {
    return this.#store.linkBlob(repository, blob);
  }

  async forgetBlob(digest: Digest): Promise<boolean> {
    try {
      return await this.#store.forgetBlob(digest);
    } finally {
      this.#drop(digest);
    }
  }

  async forgetUnheld(digest: Digest): Promise<boolean> {
    try {
      return await this.#store.forgetUnheld(digest);
    } finally {
      this.#drop(digest);
    }
  }

  listRepositories(
    upstream: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly RepositoryName[]> {
    return this.#store.listRepositories(upstream, after, limit);
  }

  recordAccess(digests: Iterable<Digest>, at: number): Promise<void> {
    return this.#store.recordAccess(digests, at);
  }

  leastRecentlyUsed(limit: number, skip?: number): Promise<readonly EvictionCandidate[]> {
    return this.#store.leastRecentlyUsed(limit, skip);
  }

  async evict(candidate: Pick<EvictionCandidate, 'kind' | 'digest'>): Promise<Evicted> {
    let evicted: Evicted;
    try {
      evicted = await this.#store.evict(candidate);
    } catch (error) {
      this.#dropAll();
      throw error;
    }
    for (const digest of [candidate.digest, ...evicted.manifests]) this.#drop(digest);
    return evicted;
  }

  totals(): Promise<Totals> {
    return this.#store.totals();
  }

  async purge(repository: RepositoryKey, target: Reference | 'all'): Promise<Purged | undefined> {
    let purged: Purged | undefined;
    try {
      purged = await this.#store.purge(repository, target);
    } catch (error) {
      this.#dropAll();
      throw error;
    }
    const { tags = [], released = [] } = purged ?? {};
    const drops = [
      ...tags.map((tag) => () => this.#dropTag(repository, tag)),
      ...released.map((digest) => () => this.#drop(digest)),
    ];
    for (const [position, drop] of drops.entries()) {
      if (position > 0 && position % DROPPED_AT_ONCE === 0) await setImmediate();
      drop();
    }
    return purged;
  }

  pin(repository: RepositoryKey, reference: Reference): Promise<boolean> {
    return this.#store.pin(repository, reference);
  }

  unpin(repository: RepositoryKey, reference: Reference): Promise<boolean> {
    return this.#store.unpin(repository, reference);
  }

  pinnedContent(): Promise<ReadonlyMap<Digest, number>> {
    return this.#store.pinnedContent();
  }

  recordFound(blobs: Iterable<BlobRecord>, at: number): Promise<void> {
    return this.#store.recordFound(blobs, at);
  }

  listBlobs(after?: Digest): AsyncIterable<BlobRecord> {
    return this.#store.listBlobs(after);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #drop(digest: Digest): void {
    for (const cache of [this.#tags, this.#manifests, this.#blobs]) cache.dropDigest(digest);
    this.#onDropped(digest);
  }

  /** What went before it failed is not known. */
  #dropAll(): void {
    for (const cache of [this.#tags, this.#manifests, this.#blobs]) cache.clear();
    this.#onDropped(undefined);
  }

  #dropTag(repository: RepositoryKey, tag: Tag): void {
    const key = tagKey(repository, tag);
    this.#tags.drop(key);
    this.#onDropped(key);
  }
}

function contentKey({ upstream, name }: RepositoryKey, digest: Digest): string {
  return `${name} ${digest} ${upstream}`;
}
