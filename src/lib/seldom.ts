/** Lets something through once in a while for each key, and counts what it held back. Keys come from a closed set. */
export class Seldom {
  readonly #now: () => number;
  readonly #intervalMs: number;
  readonly #last = new Map<string, { readonly at: number; skipped: number }>();

  constructor(now: () => number, intervalMs = 1000) {
    this.#now = now;
    this.#intervalMs = intervalMs;
  }

  /** How many were held back before this one; undefined where it is held back itself. */
  take(key: string): number | undefined {
    const now = this.#now();
    const last = this.#last.get(key);
    // A clock that was set back does not silence it.
    if (last && now >= last.at && now - last.at < this.#intervalMs) {
      last.skipped += 1;
      return undefined;
    }
    this.#last.set(key, { at: now, skipped: 0 });
    return last?.skipped ?? 0;
  }
}
