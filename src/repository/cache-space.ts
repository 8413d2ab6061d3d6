/**
 * Keeps the cache within its bound: room is reserved before anything is written, and made by evicting what was used
 * least recently. What is being read or written is passed over.
 */
import type { BlobStore } from '../blobs/blob-store.ts';
import type { Evicted, EvictionCandidate, MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
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

/** Downloads that were cut short and are kept to be gone on with: part of what the cache has, and the first to go. */
export interface Partials {
  bytes(): number;
  /** Resolves to how many bytes went: fewer than asked for where there are not as many. */
  drop(bytes: number): Promise<number>;
}

export interface CacheSpaceOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  /** What is leased now, so that nothing is evicted for what can't find room beside it. */
  readonly leased?: () => Iterable<Digest>;
  readonly partials?: Partials;
  /** Bytes that the cache may have, given those that it has. */
  readonly limit: (usedBytes: number) => Promise<number>;
  /** Bytes that the disk has left for us, whatever the limit is. */
  readonly freeBytes: () => Promise<number>;
  /** Eviction goes on towards this share of the limit, so that it does not run for every blob. */
  readonly lowWater: number;
  /** Writes down what was used since the last time, so that eviction sees it. */
  readonly flushAccess: () => Promise<void>;
  readonly onEvicted?: (evicted: EvictionReport & { readonly oldestUsedAt: number }) => void;
  /** Told why room could not be found or made where the disk or the index is to blame, once for each time. */
  readonly onError?: (error: Error) => void;
}

const CANDIDATES = 100;
/** So much goes beyond what is needed while somebody waits: a tenth of ten million blobs is the work of many minutes. */
const MAX_BEYOND_NEED = 100;
/** And so much at all, in a second or so: what finds no room by then goes to its client uncached. */
const MAX_AT_ONCE = 1000;
/** That many that can't be evicted, and the disk or the index is to blame: no other one would do better. */
const MAX_FAILURES = 20;
/** What SQLite may need to take out a row: pages of the write-ahead log, and of the index. */
const INDEX_BYTES = 1024 * 1024;

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

  /**
   * Brings the cache back below its bound, where that or the disk has shrunk: down to the low-water mark, in rounds
   * between which others may reserve. An abort ends it after the round that is under way.
   */
  async trim(signal?: AbortSignal): Promise<EvictionReport> {
    let total: EvictionReport = NOTHING;
    for (let isOver = false; signal?.aborted !== true;) {
      const round = await this.#inTurn(async () => {
        const { used, limit } = await this.#usage();
        const lowWater = limit * this.#options.lowWater;
        if (used + this.#reserved <= (isOver ? lowWater : limit)) return undefined;
        const bytes = used + this.#reserved - lowWater;
        return this.#evict(bytes, bytes);
      });
      if (!round || round.freed === 0) break;
      total = sumOf(total, round);
      isOver = true;
    }
    return total;
  }

  async usage(): Promise<{ readonly used: number; readonly reserved: number; readonly limit: number }> {
    return { ...(await this.#usage()), reserved: this.#reserved };
  }

  /**
   * For a write that found the disk full in spite of its reservation: evicts until it has that many bytes left, which
   * are promised to nobody. False where that can't be.
   */
  async makeRoom(bytes: number): Promise<boolean> {
    return this.#decide(async () => {
      const missing = bytes - (await this.#options.freeBytes());
      if (missing <= 0) return true;
      const { used } = await this.#usage();
      if (missing > used - (await this.#leasedBytes())) return false;
      await this.#evict(missing, missing);
      return (await this.#options.freeBytes()) >= bytes;
    });
  }

  async #take(bytes: number): Promise<boolean> {
    return this.#decide(async () => {
      const { used, limit } = await this.#usage();
      const wanted = used + this.#reserved + bytes;
      if (wanted > limit) {
        // Nobody loses a blob for what would not fit even if all went that can go.
        if (this.#reserved + bytes + (await this.#leasedBytes()) > limit) return false;
        const { freed } = await this.#evict(wanted - limit, wanted - limit * this.#options.lowWater);
        if (wanted - freed > limit) return false;
      }
      this.#reserved += bytes;
      return true;
    });
  }

  async #usage(): Promise<{ used: number; limit: number }> {
    const { blobBytes, manifestBytes } = await this.#options.metadata.totals();
    const used = blobBytes + manifestBytes + (this.#options.partials?.bytes() ?? 0);
    return { used, limit: await this.#options.limit(used) };
  }

  /** Not of what is on its way in: that is reserved. */
  async #leasedBytes(): Promise<number> {
    const { blobs, leased } = this.#options;
    const stats = await Promise.all([...(leased?.() ?? [])].map((digest) => blobs.stat(digest)));
    return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), 0);
  }

  /** @param wanted how many bytes should go, of which only those that are `needed` are worth a longer wait */
  async #evict(needed: number, wanted: number): Promise<EvictionReport & { readonly freed: number }> {
    const { metadata, flushAccess, partials, onEvicted, onError } = this.#options;
    const failures: unknown[] = [];
    const passOver = (error: unknown) => void failures.push(error);
    const dropped = (await partials?.drop(wanted).catch(passOver)) ?? 0;
    let report: EvictionReport = NOTHING;
    let evictions = 0;
    let beyondNeed = 0;
    const isEnough = () =>
      dropped + report.bytes >= wanted ||
      beyondNeed >= MAX_BEYOND_NEED ||
      evictions >= MAX_AT_ONCE ||
      failures.length >= MAX_FAILURES;
    let oldestUsedAt: number | undefined;
    // What can't be written down, on a full disk, only makes the order less exact.
    if (!isEnough()) await flushAccess().catch(passOver);
    for (let skip = 0; !isEnough();) {
      const candidates = await metadata.leastRecentlyUsed(CANDIDATES, skip);
      if (candidates.length === 0) break;
      for (const candidate of candidates) {
        if (isEnough()) break;
        const isNeeded = dropped + report.bytes < needed;
        const evicted = await this.#evictOne(candidate).catch(passOver);
        if (!evicted) {
          skip += 1;
          continue;
        }
        oldestUsedAt ??= candidate.usedAt;
        evictions += 1;
        beyondNeed += isNeeded ? 0 : 1;
        report = sumOf(report, evicted);
      }
    }
    if (oldestUsedAt !== undefined) onEvicted?.({ ...report, oldestUsedAt });
    if (failures.length > 0) onError?.(failures[0] as Error);
    return { ...report, freed: dropped + report.bytes };
  }

  /** `undefined` where it is in use; rejects where it can't go, and then it is still known. */
  async #evictOne(candidate: EvictionCandidate): Promise<EvictionReport | undefined> {
    const { metadata, blobs, leases } = this.#options;
    using lease = leases.tryExclusive(candidate.digest);
    if (!lease) return undefined;
    // The row goes before the file: a crash in between leaves a file that nobody is promised, not the reverse.
    const evicted = await this.#evictRow(candidate);
    const report = { blobs: 0, manifests: evicted.manifests.length, bytes: evicted.manifestBytes };
    if (candidate.kind === 'manifest') return report;
    try {
      await blobs.delete(candidate.digest);
    } catch (error) {
      // Its bytes are still there, and have to count.
      await metadata.recordFound([candidate], candidate.usedAt);
      throw error;
    }
    return { ...report, blobs: 1, bytes: report.bytes + candidate.size };
  }

  async #evictRow(candidate: EvictionCandidate): Promise<Evicted> {
    const { metadata, blobs, freeBytes } = this.#options;
    try {
      return await metadata.evict(candidate);
    } catch (error) {
      if (candidate.kind === 'manifest' || (await freeBytes()) >= INDEX_BYTES) throw error;
      // The index has no room even to take a row out: the file gives its own. A row without a file heals itself.
      await blobs.delete(candidate.digest);
      return metadata.evict(candidate);
    }
  }

  /** A disk or an index that can't even be asked has no room: what wants it goes without, and never fails by it. */
  async #decide(work: () => Promise<boolean>): Promise<boolean> {
    try {
      return await this.#inTurn(work);
    } catch (error) {
      this.#options.onError?.(error as Error);
      return false;
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

const NOTHING: EvictionReport = { blobs: 0, manifests: 0, bytes: 0 };

function sumOf(a: EvictionReport, b: EvictionReport): EvictionReport {
  return { blobs: a.blobs + b.blobs, manifests: a.manifests + b.manifests, bytes: a.bytes + b.bytes };
}
