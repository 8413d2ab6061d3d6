/** Readers that have sent all there is, and wait for the writer. */
import type { Outlet } from '../lib/outlet.ts';

export class WaitingReaders {
  readonly #wake = new Set<() => void>();

  get count(): number {
    return this.#wake.size;
  }

  /** Resolves at the next `wakeAll`; throws SinkClosedError when the reader's receiver has gone. */
  async wait(outlet: Outlet): Promise<void> {
    let wake: (() => void) | undefined;
    try {
      await outlet.until((resolve) => {
        wake = resolve;
        this.#wake.add(resolve);
      });
    } finally {
      // One that left must not stay: a blob that stalls for long may see many come and go.
      if (wake) this.#wake.delete(wake);
    }
  }

  wakeAll(): void {
    for (const wake of this.#wake) wake();
  }
}
