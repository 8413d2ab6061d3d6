/** Leases of blobs that somebody is about to open and can not tell us about: each lasts for a while after the last time. */
import type { Digest } from '../oci/digest.ts';
import type { BlobLeases } from './blob-leases.ts';

/** For a web server on the same machine, which opens the file as soon as it has our answer. */
const LINGER_MS = 10_000;

export class LingeringLeases implements Disposable {
  readonly #leases: BlobLeases;
  readonly #lingerMs: number;
  readonly #held = new Map<Digest, { readonly lease: Disposable; readonly timer: NodeJS.Timeout }>();

  constructor(leases: BlobLeases, lingerMs = LINGER_MS) {
    this.#leases = leases;
    this.#lingerMs = lingerMs;
  }

  /** Resolves when it is held. */
  async hold(digest: Digest): Promise<void> {
    const lease = await this.#leases.share(digest);
    this.#release(digest);
    const timer = setTimeout(() => this.#release(digest), this.#lingerMs).unref();
    this.#held.set(digest, { lease, timer });
  }

  [Symbol.dispose](): void {
    for (const digest of this.#held.keys()) this.#release(digest);
  }

  #release(digest: Digest): void {
    const held = this.#held.get(digest);
    if (!held) return;
    clearTimeout(held.timer);
    held.lease[Symbol.dispose]();
    this.#held.delete(digest);
  }
}
