/** The rows of what was asked and served. Methods that write are called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { TrafficCounts, TrafficSpan } from './catalog-store.ts';

type Counts = [beganAt: number, requests: number, hits: number, served: number, hit: number, fetched: number];

const COLUMNS = `
  began_at AS beganAt, requests, hits, served_bytes AS servedBytes, hit_bytes AS hitBytes,
  fetched_bytes AS fetchedBytes`;
const ADDED = `
  requests = requests + excluded.requests, hits = hits + excluded.hits,
  served_bytes = served_bytes + excluded.served_bytes, hit_bytes = hit_bytes + excluded.hit_bytes,
  fetched_bytes = fetched_bytes + excluded.fetched_bytes`;

export class SqliteTraffic {
  readonly #addToSpan: Statement<Counts>;
  readonly #addToTotals: Statement<Counts>;
  readonly #page: Statement<[number, number, number], TrafficSpan>;
  readonly #totals: Statement<[], TrafficSpan>;
  readonly #forget: Statement<[number, number]>;

  constructor(db: Database) {
    this.#addToSpan = db.prepare(`
      INSERT INTO traffic_spans VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (began_at) DO UPDATE SET ${ADDED}`);
    this.#addToTotals = db.prepare(`
      INSERT INTO traffic_totals VALUES (1, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ${ADDED}`);
    this.#page = db.prepare(`
      SELECT ${COLUMNS} FROM traffic_spans WHERE began_at >= ? AND began_at > ? ORDER BY began_at LIMIT ?`);
    this.#totals = db.prepare(`SELECT ${COLUMNS} FROM traffic_totals WHERE id = 1`);
    this.#forget = db.prepare(`
      DELETE FROM traffic_spans
      WHERE began_at IN (SELECT began_at FROM traffic_spans WHERE began_at < ? ORDER BY began_at LIMIT ?)`);
  }

  add(beganAt: number, counts: TrafficCounts): void {
    const { requests, hits, servedBytes, hitBytes, fetchedBytes } = counts;
    this.#addToSpan.run(beganAt, requests, hits, servedBytes, hitBytes, fetchedBytes);
    this.#addToTotals.run(beganAt, requests, hits, servedBytes, hitBytes, fetchedBytes);
  }

  page(from: number, after: number, size: number): readonly TrafficSpan[] {
    return this.#page.all(from, after, size);
  }

  totals(): TrafficSpan | undefined {
    return this.#totals.get();
  }

  /** Some of them; resolves to how many. */
  forget(before: number, size: number): number {
    return this.#forget.run(before, size).changes;
  }
}
