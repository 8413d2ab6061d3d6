/* eslint-disable @typescript-eslint/require-await -- the port is async and SQLite is not: `async` makes a throw a rejection */
/** What was asked and served, kept in the index across restarts. */
import type { TrafficCounts, TrafficHistory, TrafficSpan } from './catalog-store.ts';
import { pagesOf } from './pages.ts';
import type { SqliteIndex } from './sqlite-index.ts';

const SPANS_AT_ONCE = 500;

export class SqliteTrafficHistory implements TrafficHistory {
  readonly #index: SqliteIndex;

  constructor(index: SqliteIndex) {
    this.#index = index;
  }

  async add(beganAt: number, counts: TrafficCounts): Promise<void> {
    this.#index.write(({ traffic }) => traffic.add(beganAt, counts));
  }

  async list(from: number): Promise<readonly TrafficSpan[]> {
    const read = (last: TrafficSpan | undefined, size: number) =>
      this.#index.read(({ traffic }) => traffic.page(from, last?.beganAt ?? -1, size));
    return (await Array.fromAsync(pagesOf(SPANS_AT_ONCE, read))).flat();
  }

  async totals(): Promise<TrafficSpan | undefined> {
    return this.#index.read(({ traffic }) => traffic.totals());
  }

  async forget(before: number): Promise<void> {
    while (this.#index.write(({ traffic }) => traffic.forget(before, SPANS_AT_ONCE)) === SPANS_AT_ONCE) {
      await this.#index.pause();
    }
  }
}
