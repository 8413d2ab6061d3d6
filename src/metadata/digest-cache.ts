/** A least-recently-used cache bounded in bytes, whose entries are each about one digest and can be dropped by it. */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';

/** Roughly what one entry takes with its key and both maps, beside the bytes that it holds. */
const ENTRY_BYTES = 1024;

export class DigestCache<V extends object> {
  readonly #entries: LRUCache<string, V>;
  readonly #keysOf = new Map<Digest, Set<string>>();
  readonly #digestOf: (value: V) => Digest;
  /** Counts what was dropped. */
  #drops = 0;

  constructor(maxBytes: number, digestOf: (value: V) => Digest, bytesOf: (value: V) => number = () => 0) {
    this.#digestOf = digestOf;
    this.#entries = new LRUCache({
      maxSize: Math.max(1, Math.floor(maxBytes)),
      sizeCalculation: (value) => ENTRY_BYTES + bytesOf(value),
      dispose: (value, key) => this.#unlist(key, digestOf(value)),
    });
  }

  /** What is kept, or else what `read` gives; absence is not kept. */
  async find(key: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    const kept = this.#entries.get(key);
    if (kept !== undefined) return kept;
    const dropsBefore = this.#drops;
    const value = await read();
    // Whatever was dropped while it was read may have been this: a write overtook the read.
    if (value !== undefined && this.#drops === dropsBefore) this.#keep(key, value);
    return value;
  }

  drop(key: string): void {
    this.#drops += 1;
    this.#entries.delete(key);
  }

  dropDigest(digest: Digest): void {
    this.#drops += 1;
    // A copy: each deletion shortens the set.
    for (const key of [...(this.#keysOf.get(digest) ?? [])]) this.#entries.delete(key);
  }

  clear(): void {
    this.#drops += 1;
    this.#entries.clear();
  }

  #keep(key: string, value: V): void {
    this.#entries.set(key, value);
    // One larger than the whole cache is not taken in.
    if (!this.#entries.has(key)) return;
    const digest = this.#digestOf(value);
    const keys = this.#keysOf.get(digest);
    if (keys === undefined) this.#keysOf.set(digest, new Set([key]));
    else keys.add(key);
  }

  #unlist(key: string, digest: Digest): void {
    const keys = this.#keysOf.get(digest);
    keys?.delete(key);
    if (keys?.size === 0) this.#keysOf.delete(digest);
  }
}
