/**
 * Keeps the cache within its bound: room is reserved before anything is written, and made by evicting what was used
 * least recently. What is being read or written is passed over.
 */
import type { BlobStore } from '../blobs/blob-store.ts';
import type { EvictionCandidate, MetadataStore } from '../metadata/metadata-store.ts';
import type { BlobLeases } from './blob-leases.ts';

export interface Reservation extends Disposable {
  /** Makes it larger; false where there is no room, and the reservation stays as it was. */
  growTo(bytes: number): Promise<boolean>;
}

export interface EvictionReport {
  readonly blobs: number;
  readonly manifests: number;
  readonly bytes: number;
}

export interface CacheSpaceOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  /** Bytes that the cache may have, given those that it has. */
  readonly limit: (usedBytes: number) => Promise<number>;
  /** Eviction goes on down to this share of the limit, so that it does not run for every blob. */
  readonly lowWater: number;
  /** Writes down what was used since the last time, so that eviction sees it. */
  readonly flushAccess: () => Promise<void>;
  readonly onEvicted?: (evicted: EvictionReport & { readonly oldestUsedAt: number }) => void;
}

const CANDIDATES = 100;

export class CacheSpace {
  readonly #options: CacheSpaceOptions;
  #reserved = 0;
  /** One reservation after the other: two at once would both evict for themselves what serves both. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: CacheSpaceOptions) {
    this.#options = options;
  }

  /** To be disposed when what was written is recorded, or given up. `undefined` where there is no room for it. */
  async reserve(bytes: number): Promise<Reservation | undefined> {
    if (!(await this.#take(bytes))) return undefined;
    let held = bytes;
    return {
      growTo: async (larger) => {
        const more = larger - held;
        if (more <= 0) return true;
        const isTaken = await this.#take(more);
        if (isTaken) held += more;
        return isTaken;
      },
      [Symbol.dispose]: () => {
        this.#reserved -= held;
        held = 0;
      },
    };
  }

  /** Brings the cache back below its bound, where that or the disk has shrunk. */
  async trim(): Promise<EvictionReport> {
    return this.#inTurn(async () => {
      const { used, limit } = await this.#usage();
      if (used + this.#reserved <= limit) return NOTHING;
      return this.#evict(used - (limit * this.#options.lowWater - this.#reserved));
    });
  }

  async usage(): Promise<{ readonly used: number; readonly reserved: number; readonly limit: number }> {
    return { ...(await this.#usage()), reserved: this.#reserved };
  }

  async #take(bytes: number): Promise<boolean> {
    return this.#inTurn(async () => {
      const { used, limit } = await this.#usage();
      // Nobody loses a blob for what would not fit even in an empty cache.
      if (this.#reserved + bytes > limit) return false;
      const wanted = used + this.#reserved + bytes;
      if (wanted > limit) {
        const evicted = await this.#evict(wanted - limit * this.#options.lowWater);
        if (wanted - evicted.bytes > limit) return false;
      }
      this.#reserved += bytes;
      return true;
    });
  }

  async #usage(): Promise<{ used: number; limit: number }> {
    const { blobBytes, manifestBytes } = await this.#options.metadata.totals();
    const used = blobBytes + manifestBytes;
    return { used, limit: await this.#options.limit(used) };
  }

  async #evict(bytes: number): Promise<EvictionReport> {
    const { metadata, flushAccess, onEvicted } = this.#options;
    await flushAccess();
    const report = { blobs: 0, manifests: 0, bytes: 0 };
    let oldestUsedAt: number | undefined;
    for (let skip = 0; report.bytes < bytes;) {
      const candidates = await metadata.leastRecentlyUsed(CANDIDATES, skip);
      if (candidates.length === 0) break;
      for (const candidate of candidates) {
        if (report.bytes >= bytes) break;
        const freed = await this.#evictOne(candidate);
        if (freed === undefined) {
          skip += 1;
          continue;
        }
        oldestUsedAt ??= candidate.usedAt;
        report.blobs += candidate.kind === 'blob' ? 1 : 0;
        report.manifests += freed.manifests;
        report.bytes += freed.bytes;
      }
    }
    if (oldestUsedAt !== undefined) onEvicted?.({ ...report, oldestUsedAt });
    return report;
  }

  /** `undefined` where it is in use. */
  async #evictOne(candidate: EvictionCandidate): Promise<{ manifests: number; bytes: number } | undefined> {
    const { metadata, blobs, leases } = this.#options;
    using lease = leases.tryExclusive(candidate.digest);
    if (!lease) return undefined;
    // The row goes before the file: a crash in between leaves a file that nobody is promised, not the reverse.
    const evicted = await metadata.evict(candidate);
    if (candidate.kind === 'manifest')
      return { manifests: evicted.manifests.length, bytes: evicted.manifestBytes };
    try {
      await blobs.delete(candidate.digest);
    } catch (error) {
      // Its bytes are still there, and have to count.
      await metadata.recordFound([candidate], candidate.usedAt);
      throw error;
    }
    return { manifests: evicted.manifests.length, bytes: evicted.manifestBytes + candidate.size };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

const NOTHING: EvictionReport = { blobs: 0, manifests: 0, bytes: 0 };
