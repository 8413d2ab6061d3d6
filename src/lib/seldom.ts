/** Lets something through once in a while for each key, and counts what it held back. Keys come from a closed set. */
const INTERVAL_MS = 1000;

export class Seldom {
  readonly #now: () => number;
  readonly #last = new Map<string, { readonly at: number; skipped: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** How many were held back before this one; undefined where it is held back itself. */
  take(key: string): number | undefined {
    const now = this.#now();
    const last = this.#last.get(key);
    // A clock that was set back does not silence it.
    if (last && now >= last.at && now - last.at < INTERVAL_MS) {
      last.skipped += 1;
      return undefined;
    }
    this.#last.set(key, { at: now, skipped: 0 });
    return last?.skipped ?? 0;
  }
}
