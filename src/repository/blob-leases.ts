/**
 * Who is using which blob right now: many readers and one download share it, or one eviction has it alone. Eviction
 * passes over what is shared; who wants to share waits the moment that an eviction takes.
 */
import type { Digest } from '../oci/digest.ts';

interface Lease {
  shares: number;
  /** Present while someone has it alone; resolves when that ends. */
  readonly exclusive?: Promise<undefined>;
}

export class BlobLeases {
  readonly #leases = new Map<Digest, Lease>();

  async share(digest: Digest): Promise<Disposable> {
    let lease = this.#leases.get(digest);
    while (lease?.exclusive) {
      await lease.exclusive;
      lease = this.#leases.get(digest);
    }
    if (lease) lease.shares += 1;
    else this.#leases.set(digest, { shares: 1 });
    return once(() => {
      const held = this.#leases.get(digest);
      if (held && --held.shares === 0) this.#leases.delete(digest);
    });
  }

  /** What somebody is using now. */
  leased(): Iterable<Digest> {
    return this.#leases.keys();
  }

  /** `undefined` where anybody has it. */
  tryExclusive(digest: Digest): Disposable | undefined {
    if (this.#leases.has(digest)) return undefined;
    const { promise: exclusive, resolve } = Promise.withResolvers<undefined>();
    this.#leases.set(digest, { shares: 0, exclusive });
    return once(() => {
      this.#leases.delete(digest);
      resolve(undefined);
    });
  }
}

function once(end: () => void): Disposable {
  let isEnded = false;
  return {
    [Symbol.dispose]() {
      if (!isEnded) end();
      isEnded = true;
    },
  };
}
