/** Lists that upstream makes (tags, referrers), kept in memory for a while: asked for once, however many want them. */
import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../lib/single-flight.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { Ask } from './ask.ts';
import { isFresh } from './freshness.ts';
import type { Served } from './repository.ts';
import { allowsStale } from './upstream-failure.ts';

interface Listing<T> {
  readonly entries: readonly T[];
  readonly checkedAt: number;
}

export interface ListingsOptions<T> {
  readonly ttlMs: number;
  readonly maxBytes: number;
  readonly sizeOf: (entry: T) => number;
  readonly now: () => number;
  readonly kind: 'tags' | 'referrers';
  readonly ask: Ask;
}

export class Listings<T> {
  readonly #options: ListingsOptions<T>;
  readonly #known: LRUCache<string, Listing<T>>;
  readonly #flights = new SingleFlight<string, Served<{ entries: readonly T[] }>>();

  constructor(options: ListingsOptions<T>) {
    this.#options = options;
    this.#known = new LRUCache({
      maxSize: options.maxBytes,
      sizeCalculation: (listing, key) =>
        listing.entries.reduce((bytes, entry) => bytes + options.sizeOf(entry), key.length + 100),
    });
  }

  /**
   * @param load asks upstream
   * @param fallback what is known otherwise, if anything, when upstream can't be asked and was not asked before
   */
  async find(
    key: string,
    load: (until: AbortSignal) => Promise<readonly T[]>,
    fallback: () => Promise<readonly T[] | undefined>,
  ): Promise<Served<{ entries: readonly T[] }>> {
    const known = this.#known.get(key);
    if (known && isFresh(known.checkedAt, this.#options.ttlMs, this.#options.now())) {
      return { entries: known.entries, source: 'hit' };
    }
    return this.#flights.run(key, async () => {
      try {
        const hasOlderAnswer = known !== undefined;
        const entries = await this.#options.ask(this.#options.kind, load, { hasOlderAnswer });
        this.#known.set(key, { entries, checkedAt: this.#options.now() });
        return { entries, source: 'miss' };
      } catch (error) {
        // What upstream no longer has, or no longer shows, is not shown here either, now or when it is away.
        if (!(error instanceof UpstreamError && allowsStale(error))) {
          this.#known.delete(key);
          throw error;
        }
        const entries = known?.entries ?? (await fallback());
        if (!entries) throw error;
        return { entries, source: 'stale', staleBecause: error };
      }
    });
  }
}
