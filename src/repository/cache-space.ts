/**
 * Keeps the cache within its bound: room is reserved before anything is written, and made by evicting what was used
 * least recently. What is being read or written is passed over.
 */
import type { BlobRecord } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import {
  Evictor,
  NOTHING_EVICTED,
  Removal,
  sumOf,
  type EvictionReport,
  type EvictorOptions,
  type PinnedContent,
  type Removed,
} from './evictor.ts';

export type { EvictionReport, Removed };

export interface Reservation extends Disposable {
  /** Makes it larger; false where there is no room, and the reservation stays as it was. */
  growTo(bytes: number): Promise<boolean>;
}

export interface CacheSpaceOptions extends EvictorOptions {
  /** What is leased now, so that nothing is evicted for what can't find room beside it. */
  readonly leased?: () => Iterable<Digest>;
  /** Asked once for each round of eviction. */
  readonly pinned?: () => Promise<PinnedContent>;
  /** Bytes that the cache may have, given those that it has. */
  readonly limit: (usedBytes: number) => Promise<number>;
  /** Eviction goes on towards this share of the limit, so that it does not run for every blob. */
  readonly lowWater: number;
}

/** Looked at in one round of clearing: others may reserve in between. */
const CLEARED_AT_ONCE = 1000;

export class CacheSpace {
  readonly #options: CacheSpaceOptions;
  readonly #evictor: Evictor;
  #reserved = 0;
  /** One reservation after the other: two at once would both evict for themselves what serves both. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: CacheSpaceOptions) {
    this.#options = options;
    this.#evictor = new Evictor(options);
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
    return this.#evictInRounds(async (freed) => {
      const { used, limit } = await this.#usage();
      const total = used + this.#reserved;
      const lowWater = limit * this.#options.lowWater;
      return total <= (freed > 0 ? lowWater : limit) ? 0 : total - lowWater;
    }, signal);
  }

  /**
   * At somebody's wish: at least that many bytes, as far as there are as many that may go, or what is above the
   * low-water mark. In rounds, as `trim`; the bytes of downloads that were cut short count.
   */
  async evictNow(
    bytes: number | undefined,
    signal?: AbortSignal,
    onRound?: (soFar: EvictionReport) => void,
  ): Promise<EvictionReport> {
    const missing = async (freed: number) => {
      if (bytes !== undefined) return bytes - freed;
      const { used, limit } = await this.#usage();
      return used + this.#reserved - limit * this.#options.lowWater;
    };
    return this.#evictInRounds(missing, signal, onRound);
  }

  /** Blobs that no repository holds. What is in use stays, and what a repository holds again. */
  async remove(blobs: readonly BlobRecord[]): Promise<Removed> {
    return this.#evictor.remove(blobs);
  }

  /**
   * All that nobody uses, what is pinned and what was cut short included; what comes in meanwhile may stay. In rounds,
   * as `trim`. Throws where some of it can't go, the rest gone.
   */
  async clear(signal?: AbortSignal): Promise<Removed & { readonly manifests: number }> {
    const { metadata, partials } = this.#options;
    const removal = new Removal();
    await removal.attempt(async () => {
      const dropped = await partials?.drop(partials.bytes());
      removal.hasGone({ blobs: 0, bytes: dropped ?? 0 });
    });
    const { blobs, manifests } = await metadata.totals();
    let [left, skip] = [blobs + manifests, 0];
    while (left > 0 && signal?.aborted !== true && !removal.hasFailed) {
      const seen = await this.#inTurn(async () => {
        let count = 0;
        for (let part = 1; part > 0 && count < CLEARED_AT_ONCE; count += part) {
          const result = await this.#evictor.clearPart(removal, skip);
          skip += result.passed;
          part = result.seen;
        }
        return count;
      });
      if (seen === 0) break;
      left -= seen;
    }
    return removal.end();
  }

  /** Resolves when what began before is over: it knows of no pin that is newer. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async pinnedBytes(): Promise<number> {
    return bytesOf(await this.#pinned());
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
      const pinned = await this.#pinned();
      if (missing > used - (await this.#stayingBytes(pinned))) return false;
      await this.#evictor.evict(missing, missing, pinned);
      return (await this.#options.freeBytes()) >= bytes;
    });
  }

  async #take(bytes: number): Promise<boolean> {
    return this.#decide(async () => {
      const { used, limit } = await this.#usage();
      const wanted = used + this.#reserved + bytes;
      if (wanted > limit) {
        // Nobody loses a blob for what would not fit even if all went that can go.
        const pinned = await this.#pinned();
        if (this.#reserved + bytes + (await this.#stayingBytes(pinned)) > limit) return false;
        const lowWater = limit * this.#options.lowWater;
        const { freed } = await this.#evictor.evict(wanted - limit, wanted - lowWater, pinned);
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

  /** @param missing how many bytes more should go, given those that did */
  async #evictInRounds(
    missing: (freed: number) => Promise<number>,
    signal?: AbortSignal,
    onRound?: (soFar: EvictionReport) => void,
  ): Promise<EvictionReport> {
    let total = NOTHING_EVICTED;
    while (signal?.aborted !== true) {
      const before = total.bytes;
      const round = await this.#inTurn(async () => {
        const bytes = await missing(before);
        return bytes > 0 ? this.#evictor.evict(bytes, bytes, await this.#pinned()) : undefined;
      });
      if (!round || round.freed === 0) break;
      total = sumOf(total, { ...round, bytes: round.freed });
      onRound?.(total);
    }
    return total;
  }

  async #pinned(): Promise<PinnedContent> {
    return (await this.#options.pinned?.()) ?? NOTHING_PINNED;
  }

  /** What can't be evicted: leased or pinned. Not what is on its way in: that is reserved. */
  async #stayingBytes(pinned: PinnedContent): Promise<number> {
    const { blobs, leased } = this.#options;
    const apart = [...(leased?.() ?? [])].filter((digest) => !pinned.has(digest));
    const stats = await Promise.all(apart.map((digest) => blobs.stat(digest)));
    return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), bytesOf(pinned));
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

const NOTHING_PINNED: PinnedContent = new Map();

function bytesOf(pinned: PinnedContent): number {
  let sum = 0;
  for (const bytes of pinned.values()) sum += bytes;
  return sum;
}
