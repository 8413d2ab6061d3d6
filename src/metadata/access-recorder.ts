/**
 * Collects what is used and notes it in the index every few seconds, each digest at most once in `resolutionMs`:
 * a pull costs no write of its own.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import type { MetadataStore } from './metadata-store.ts';

/** About 20 MB of them; a digest that fell out is only written once more. */
const MAX_REMEMBERED = 100_000;

export interface AccessRecorderOptions {
  /** Told when a flush that nobody waits for has failed. */
  readonly onError: (error: unknown) => void;
  readonly intervalMs?: number;
  readonly resolutionMs?: number;
  readonly clock?: () => number;
}

export class AccessRecorder {
  readonly #store: Pick<MetadataStore, 'recordAccess'>;
  readonly #resolutionMs: number;
  readonly #clock: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #notedAt = new LRUCache<Digest, number>({
    // Not `max`, for which the room would be taken from the start.
    maxSize: MAX_REMEMBERED,
    sizeCalculation: () => 1,
  });
  /** By the second in which they were used: what was used first goes first, within one flush too. */
  #used = new Map<number, Set<Digest>>();
  #flushing: Promise<void> = Promise.resolve();

  constructor(store: Pick<MetadataStore, 'recordAccess'>, options: AccessRecorderOptions) {
    const { onError, intervalMs = 5000, resolutionMs = 60_000, clock = Date.now } = options;
    this.#store = store;
    this.#resolutionMs = resolutionMs;
    this.#clock = clock;
    this.#timer = setInterval(() => {
      this.flush().catch(onError);
    }, intervalMs);
    this.#timer.unref();
  }

  /** A manifest stands for all that it reaches (see {@link MetadataStore.recordAccess}). */
  record(digest: Digest): void {
    const now = this.#clock();
    const notedAt = this.#notedAt.get(digest);
    const age = now - (notedAt ?? -Infinity);
    // A clock that was set back makes every use new.
    if (age >= 0 && age < this.#resolutionMs) return;
    this.#notedAt.set(digest, now);
    const second = Math.floor(now / 1000) * 1000;
    const used = this.#used.get(second);
    if (used) used.add(digest);
    else this.#used.set(second, new Set([digest]));
  }

  /** Resolves when all that was recorded before is in the index. */
  flush(): Promise<void> {
    const flushed = this.#flushing.then(() => this.#write());
    this.#flushing = flushed.catch(() => undefined);
    return flushed;
  }

  /** Ends the timer and flushes. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #write(): Promise<void> {
    const used = this.#used;
    this.#used = new Map();
    try {
      for (const [at, digests] of used) await this.#store.recordAccess(digests, at);
    } catch (error) {
      // Not kept, or the sets would grow for as long as the disk is full; the next use of each is noted again.
      for (const digests of used.values()) for (const digest of digests) this.#notedAt.delete(digest);
      throw error;
    }
  }
}
