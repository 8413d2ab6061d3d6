/**
 * The open file of the index with all its tables. Every statement runs inside `read` or `write`: the one place where a
 * broken file and a full disk are noticed.
 */
import { setImmediate } from 'node:timers/promises';
import type { Database } from 'better-sqlite3';
import { DiskReserve } from './disk-reserve.ts';
import { SqliteBlobs } from './sqlite-blobs.ts';
import { SqliteCatalogRows } from './sqlite-catalog-rows.ts';
import { findCorruption } from './sqlite-check.ts';
import { SqliteCheckpoints } from './sqlite-checkpoints.ts';
import { CorruptionMark, isCorruption } from './sqlite-corruption.ts';
import {
  closeDatabase,
  markRebuilt,
  openDatabase,
  withReserve,
  type OpenedDatabase,
} from './sqlite-database.ts';
import { SqliteEviction } from './sqlite-eviction.ts';
import { SqliteManifests } from './sqlite-manifests.ts';
import { SqlitePins } from './sqlite-pins.ts';
import { SqlitePurge } from './sqlite-purge.ts';
import { SqliteRepositories } from './sqlite-repositories.ts';
import { SqliteScrub } from './sqlite-scrub.ts';
import { SqliteTags } from './sqlite-tags.ts';
import { SqliteTraffic } from './sqlite-traffic.ts';

/** A row takes 50 us in an index of ten million blobs. */
const ROWS_PER_TRANSACTION = 20;

export interface SqliteIndexOptions {
  /** Of the file; its directory is made. */
  readonly path: string;
  readonly clock: () => number;
  readonly onCorrupt: (error: Error) => void;
}

type Tables = ReturnType<typeof tablesOn>;

export class SqliteIndex {
  readonly opened: Omit<OpenedDatabase, 'db'>;
  readonly #path: string;
  readonly #db: Database;
  readonly #tables: Tables;
  readonly #checkpoints: SqliteCheckpoints;
  readonly #mark: CorruptionMark;
  readonly #reserve: DiskReserve;
  readonly #onCorrupt: (error: Error) => void;
  #isChecked: boolean;
  /** Rows and files agree, as far as we know. */
  #isReconciled: boolean;
  #hasFailedToWrite = false;
  #isCorrupt = false;

  constructor({ path, clock, onCorrupt }: SqliteIndexOptions) {
    this.#path = path;
    this.#mark = new CorruptionMark(path);
    this.#reserve = new DiskReserve(path);
    this.#onCorrupt = onCorrupt;
    const { db, ...opened } = openDatabase({ path, clock, mark: this.#mark, reserve: this.#reserve });
    this.opened = opened;
    this.#db = db;
    this.#tables = tablesOn(db);
    this.#checkpoints = new SqliteCheckpoints(db, path);
    this.#isChecked = opened.wasClean;
    this.#isReconciled = opened.wasClean;
  }

  read<T>(work: (tables: Tables) => T): T {
    try {
      return work(this.#tables);
    } catch (error) {
      if (isCorruption(error)) this.#markCorrupt(error);
      throw error;
    }
  }

  /** In one transaction; on a full disk the work may have to be done more than once. */
  write<T>(work: (tables: Tables) => T): T {
    const commit = (tables: Tables) => this.#db.transaction(work).immediate(tables);
    try {
      return this.read((tables) => this.#withRoom(() => commit(tables)));
    } catch (error) {
      // The file that this row was for, or whose row this was, may be there or not.
      this.#hasFailedToWrite = true;
      throw error;
    }
  }

  /** One transaction after the other, with turns of others in between. */
  async writeInBatches<T>(
    items: Iterable<T>,
    work: (tables: Tables, batch: readonly T[]) => void,
  ): Promise<void> {
    let batch: T[] = [];
    const write = () => this.write((tables) => work(tables, batch));
    for (const item of items) {
      batch.push(item);
      if (batch.length < ROWS_PER_TRANSACTION) continue;
      write();
      batch = [];
      await this.pause();
    }
    if (batch.length > 0) write();
  }

  /** Between two transactions of one piece of work: others get their turn, and the disk time to keep up. */
  async pause(): Promise<void> {
    await setImmediate();
    await this.#checkpoints.room();
  }

  /** Looks through the whole file after a process that did not close it; what is found is told as all breakage is. */
  async check(signal: AbortSignal): Promise<void> {
    const finding = await findCorruption(this.#path, signal);
    if (finding) this.#markCorrupt(finding);
    else this.#isChecked = true;
  }

  rebuilt(): void {
    this.write(() => markRebuilt(this.#db));
    this.#isReconciled = true;
  }

  reconciled(): void {
    this.#isReconciled = true;
  }

  restoreReserve(): Promise<boolean> {
    return this.#reserve.restore();
  }

  async close(): Promise<void> {
    await this.#checkpoints.close();
    const isSound = this.#isChecked && this.#isReconciled && !this.#hasFailedToWrite && !this.#isCorrupt;
    closeDatabase(this.#db, isSound);
  }

  #withRoom<T>(commit: () => T): T {
    const result = withReserve({ release: () => this.#makeRoom() }, commit);
    this.#checkpoints.committed();
    return result;
  }

  /** On a full disk: a WAL that begins anew needs none, and what was kept is for the file that it is moved into. */
  #makeRoom(): boolean {
    if (this.#checkpoints.endWal()) return true;
    if (!this.#reserve.release()) return false;
    this.#checkpoints.endWal();
    return true;
  }

  /** The next process sees the mark; this one is told once, and can only end. */
  #markCorrupt(error: Error): void {
    if (this.#isCorrupt) return;
    this.#isCorrupt = true;
    try {
      this.#mark.leave(error);
    } catch (cause) {
      // The next process then looks through the file itself, for this one does not close it as sound.
      this.#onCorrupt(new Error(`the index is corrupt (${error.message}) and can't be marked so`, { cause }));
      return;
    }
    this.#onCorrupt(error);
  }
}

/** All of it, for the test that looks at every statement too. */
export function tablesOn(db: Database) {
  const repositories = new SqliteRepositories(db);
  const tags = new SqliteTags(db, repositories);
  const manifests = new SqliteManifests(db, repositories, tags);
  const blobs = new SqliteBlobs(db, repositories);
  const eviction = new SqliteEviction(db, manifests, blobs);
  return {
    ...{ repositories, tags, manifests, blobs, eviction },
    purge: new SqlitePurge(db),
    pins: new SqlitePins(db, tags),
    catalog: new SqliteCatalogRows(db),
    traffic: new SqliteTraffic(db),
    scrub: new SqliteScrub(db),
  };
}
