/**
 * Takes content out of the cache: what was used least recently and nobody uses, reads or has pinned, or what somebody
 * wants gone. The row goes before the file; what fails is passed over, still known.
 */
import type { BlobStore } from '../blobs/blob-store.ts';
import type { BlobRecord, Evicted, EvictionCandidate, MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobLeases } from './blob-leases.ts';

export interface EvictionReport {
  readonly blobs: number;
  readonly manifests: number;
  readonly bytes: number;
}

/** What went at somebody's wish, and what of it is in use and stays. */
export interface Removed {
  readonly blobs: number;
  readonly bytes: number;
  readonly inUse: { readonly blobs: number; readonly bytes: number };
}

/** Downloads that were cut short and are kept to be gone on with: part of what the cache has, and the first to go. */
export interface Partials {
  bytes(): number;
  /** Resolves to how many bytes went: fewer than asked for where there are not as many. */
  drop(bytes: number): Promise<number>;
}

/** Digests that are not evicted, with the bytes of them that are here. */
export type PinnedContent = ReadonlyMap<Digest, number>;

export interface EvictorOptions {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly leases: BlobLeases;
  readonly partials?: Partials;
  /** Bytes that the disk has left for us, whatever the limit is. */
  readonly freeBytes: () => Promise<number>;
  /** Writes down what was used since the last time, so that eviction sees it. */
  readonly flushAccess: () => Promise<void>;
  /** Told of what is pinned and would have gone: it counts as used, so that the next eviction need not walk over it. */
  readonly touch?: (digest: Digest) => void;
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

export class Evictor {
  readonly #options: EvictorOptions;

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** @param wanted how many bytes should go, of which only those that are `needed` are worth a longer wait */
  async evict(
    needed: number,
    wanted: number,
    pinned: PinnedContent,
  ): Promise<EvictionReport & { readonly freed: number }> {
    const { metadata, flushAccess, partials, touch, onEvicted, onError } = this.#options;
    const failures: unknown[] = [];
    const passOver = (error: unknown) => void failures.push(error);
    const dropped = (await partials?.drop(wanted).catch(passOver)) ?? 0;
    let report: EvictionReport = NOTHING_EVICTED;
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
        if (pinned.has(candidate.digest)) {
          touch?.(candidate.digest);
          skip += 1;
          continue;
        }
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
    using lease = this.#options.leases.tryExclusive(candidate.digest);
    if (!lease) return undefined;
    // The row goes before the file: a crash in between leaves a file that nobody is promised, not the reverse.
    const evicted = await this.#evictRow(candidate);
    const report = { blobs: 0, manifests: evicted.manifests.length, bytes: evicted.manifestBytes };
    if (candidate.kind === 'manifest') return report;
    await this.#deleteFile(candidate, candidate.usedAt);
    return { ...report, blobs: 1, bytes: report.bytes + candidate.size };
  }

  async #deleteFile(blob: BlobRecord, usedAt: number): Promise<void> {
    const { metadata, blobs } = this.#options;
    try {
      await blobs.delete(blob.digest);
    } catch (error) {
      // Its bytes are still there, and have to count.
      await metadata.recordFound([blob], usedAt);
      throw error;
    }
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

  /** Blobs that no repository holds: those that are linked again meanwhile stay. Throws where some can't go, the others gone. */
  async remove(blobs: readonly BlobRecord[]): Promise<Removed> {
    const removal = new Removal();
    for (const blob of blobs) {
      await removal.attempt(async () => {
        using lease = this.#options.leases.tryExclusive(blob.digest);
        if (!lease) {
          removal.isInUse(blob);
          return;
        }
        if (!(await this.#options.metadata.forgetUnheld(blob.digest))) return;
        await this.#deleteFile(blob, 0);
        removal.hasGone({ blobs: 1, bytes: blob.size });
      });
    }
    return removal.end();
  }

  /**
   * Takes out the next ones of all that is not in use, pinned or not.
   * @param skip as many were passed over before
   */
  async clearPart(
    removal: Removal,
    skip: number,
  ): Promise<{ readonly seen: number; readonly passed: number }> {
    const candidates = await this.#options.metadata.leastRecentlyUsed(CANDIDATES, skip);
    let passed = 0;
    for (const candidate of candidates) {
      const hasGone = await removal.attempt(async () => {
        const evicted = await this.#evictOne(candidate);
        if (evicted) removal.hasGone(evicted);
        else if (candidate.kind === 'blob') removal.isInUse(candidate);
        return evicted !== undefined;
      });
      if (hasGone !== true) passed += 1;
    }
    return { seen: candidates.length, passed };
  }
}

/** What somebody wants gone, while it goes. */
export class Removal {
  readonly #gone = { blobs: 0, manifests: 0, bytes: 0 };
  readonly #inUse = new Map<Digest, number>();
  readonly #failures: unknown[] = [];

  hasGone({ blobs, manifests = 0, bytes }: Pick<Removed, 'blobs' | 'bytes'> & { manifests?: number }): void {
    this.#gone.blobs += blobs;
    this.#gone.manifests += manifests;
    this.#gone.bytes += bytes;
  }

  /** Met twice where its use is noted meanwhile. */
  isInUse({ digest, size }: BlobRecord): void {
    this.#inUse.set(digest, size);
  }

  /** One that fails keeps none of the others. */
  async attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#failures.push(error);
      return undefined;
    }
  }

  get hasFailed(): boolean {
    return this.#failures.length >= MAX_FAILURES;
  }

  /** @throws Error where some could not go */
  end(): Removed & { readonly manifests: number } {
    const [cause] = this.#failures;
    if (cause !== undefined) {
      throw new Error(`${this.#failures.length} of them can't be removed`, { cause });
    }
    const bytes = [...this.#inUse.values()].reduce((sum, size) => sum + size, 0);
    return { ...this.#gone, inUse: { blobs: this.#inUse.size, bytes } };
  }
}

export const NOTHING_EVICTED: EvictionReport = { blobs: 0, manifests: 0, bytes: 0 };

export function sumOf(a: EvictionReport, b: EvictionReport): EvictionReport {
  return { blobs: a.blobs + b.blobs, manifests: a.manifests + b.manifests, bytes: a.bytes + b.bytes };
}
