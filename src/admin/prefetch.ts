/** The job that fetches references and all that they need, so that it is here when clients come. */
import { forEachAtOnce } from '../lib/at-once.ts';
import type { ImageName } from './names.ts';
import { PrefetchedReference, type PrefetchPorts } from './prefetched-reference.ts';
import type { Platform } from '../oci/platform.ts';
import type { PrefetchView } from './views.ts';

export interface PrefetchOrder {
  readonly references: readonly PrefetchWish[];
  /** All where there are none. */
  readonly platforms: readonly Platform[];
}

export interface PrefetchWish extends ImageName {
  /** As it is shown. */
  readonly text: string;
}

const REFERENCES_AT_ONCE = 3;

export class Prefetch {
  readonly #references: readonly PrefetchedReference[];

  constructor(ports: PrefetchPorts, { references, platforms }: PrefetchOrder) {
    this.#references = references.map(({ text, ...name }) => {
      return new PrefetchedReference(ports, { text, name, platforms });
    });
  }

  get view(): readonly PrefetchView[] {
    return this.#references.map(({ view }) => view);
  }

  /** Rejects, when all is over, where some of it failed. */
  async run(signal: AbortSignal): Promise<void> {
    await forEachAtOnce(this.#references, REFERENCES_AT_ONCE, async (reference) => {
      if (!signal.aborted) await reference.fetch(signal);
    });
    const failed = this.view.filter(({ state }) => state === 'failed').length;
    if (failed === 0) return;
    const all = this.#references.length;
    throw new Error(all === 1 ? this.view[0]?.error : `${failed} of ${all} references failed`);
  }
}
