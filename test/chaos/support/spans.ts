/** When something was so: spans of time, of which the last may still be going on. Times are of `performance.now()`. */

interface Span {
  readonly from: number;
  readonly until: number;
}

/** Nobody asks about what was longer ago. */
const REMEMBERED_MS = 300_000;

export class Spans {
  readonly #lingers: (lengthMs: number) => number;
  #ended: Span[] = [];
  #since: number | undefined;

  /** @param lingers how long the effects of a span of that length last */
  constructor(lingers: (lengthMs: number) => number = () => 0) {
    this.#lingers = lingers;
  }

  get isOn(): boolean {
    return this.#since !== undefined;
  }

  begin(): void {
    this.#since ??= performance.now();
  }

  end(): void {
    if (this.#since === undefined) return;
    const now = performance.now();
    const span = { from: this.#since, until: now + this.#lingers(now - this.#since) };
    this.#ended = [...this.#ended.filter(({ until }) => until > now - REMEMBERED_MS), span];
    this.#since = undefined;
  }

  /** Whether any of it, effects included, lies between. */
  touches(from: number, until: number): boolean {
    if (this.#since !== undefined && this.#since <= until) return true;
    return this.#ended.some((span) => span.from <= until && span.until >= from);
  }

  /** Whether it was so all the time between. */
  covers(from: number, until: number): boolean {
    if (this.#since !== undefined && this.#since <= from) return true;
    return this.#ended.some((span) => span.from <= from && span.until >= until);
  }

  /** How long from now until all effects are over, if nothing new begins. */
  get restMs(): number {
    return Math.max(0, ...this.#ended.map((span) => span.until - performance.now()));
  }
}
