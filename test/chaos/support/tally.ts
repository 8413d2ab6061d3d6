/** What happened, and how often. */

export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();

  count(what: string, which = '', by = 1): void {
    let counts = this.#counts.get(what);
    if (!counts) this.#counts.set(what, (counts = new Map<string, number>()));
    counts.set(which, (counts.get(which) ?? 0) + by);
  }

  /** Keeps the largest. */
  peak(what: string, value: number): void {
    const largest = Math.max(value, this.#counts.get(what)?.get('') ?? 0);
    this.#counts.set(what, new Map([['', largest]]));
  }

  total(what: string): number {
    return [...(this.#counts.get(what)?.values() ?? [])].reduce((sum, count) => sum + count, 0);
  }

  /** A line for each thing: `client requests 120 (200 100, 404 20)`. */
  get lines(): readonly string[] {
    return [...this.#counts].map(([what, counts]) => {
      const parts = [...counts]
        .filter(([which]) => which !== '')
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([which, count]) => `${which} ${count}`);
      return `${what} ${this.total(what)}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`;
    });
  }
}
