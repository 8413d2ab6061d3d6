/**
 * Has what was written moved from the WAL into the file of the index by a thread of its own. A commit that does it
 * itself, as SQLite is used to, blocked the event loop for up to 500 ms in an index of a million blobs.
 */
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Database, Statement } from 'better-sqlite3';
import { isFull } from './sqlite-database.ts';

/** Beside this file, in src/ as in dist/. */
const PROGRAM = join(import.meta.dirname, `sqlite-checkpoint-thread${extname(import.meta.filename)}`);
/** Pages of 4 KiB that are worth a pass. */
const PASS_PAGES = 1000;
/** With so many in the WAL, whoever writes much waits for a pass: undisturbed it ends the WAL, which begins anew. */
const MAX_PAGES = 4000;
/** A disk that does not come back from a sync holds nobody up for longer: the WAL grows instead. */
const PATIENCE_MS = 10_000;

interface WalState {
  /** Pages in the WAL. */
  readonly log: number;
  /** Those of them that are in the file too. */
  readonly checkpointed: number;
}

export class SqliteCheckpoints {
  readonly #db: Database;
  readonly #path: string;
  readonly #state: Statement<[], WalState>;
  /** Made when it is needed first: an index that is only read needs none. */
  #thread: Worker | undefined;
  #pass: Promise<void> | undefined;
  /** The pass that was waited for in vain; nobody waits for it again. */
  #hanging: Promise<void> | undefined;
  readonly #patienceMs: number;
  #isUnable = false;

  constructor(db: Database, path: string, patienceMs = PATIENCE_MS) {
    this.#db = db;
    this.#path = path;
    this.#patienceMs = patienceMs;
    this.#state = db.prepare('PRAGMA wal_checkpoint(NOOP)');
    db.pragma('wal_autocheckpoint = 0');
  }

  /** To be called after each commit. */
  committed(): void {
    const { log, checkpointed } = this.#look();
    if (log - checkpointed >= PASS_PAGES) void this.#start();
  }

  /** Resolves when more may be written: for whoever writes much, between two transactions. */
  async room(): Promise<void> {
    if (this.#look().log < MAX_PAGES) return;
    // That one may be just over with what was there when it began.
    if (await this.#waitFor(this.#pass)) await this.#waitFor(this.#start());
  }

  /** Moves all on this thread, for a full disk. True where the WAL can begin anew now, and could not before. */
  endWal(): boolean {
    const before = this.#look();
    try {
      this.#db.pragma('wal_checkpoint(PASSIVE)');
    } catch (error) {
      // The file has to grow for it.
      if (!isFull(error)) throw error;
    }
    const { log, checkpointed } = this.#look();
    return before.checkpointed < before.log && checkpointed === log;
  }

  /** Resolves when the file is used no more but by this thread. */
  async close(): Promise<void> {
    this.#isUnable = true;
    await this.#pass;
    const thread = this.#thread;
    if (!thread) return;
    this.#thread = undefined;
    const ended = once(thread, 'exit');
    thread.ref();
    thread.postMessage(undefined);
    await ended;
  }

  /** Resolves to whether it has ended. */
  async #waitFor(pass: Promise<void> | undefined): Promise<boolean> {
    if (pass !== undefined && pass === this.#hanging) return false;
    const waiting = new AbortController();
    const patience = setTimeout(this.#patienceMs, false, { signal: waiting.signal, ref: false });
    const ended = Promise.resolve(pass).then(() => true);
    const hasEnded = await Promise.race([ended, patience.catch(() => true)]);
    waiting.abort();
    if (!hasEnded) this.#hanging = pass;
    return hasEnded;
  }

  #look(): WalState {
    return this.#state.get() ?? { log: 0, checkpointed: 0 };
  }

  #start(): Promise<void> {
    if (this.#isUnable) return Promise.resolve();
    this.#pass ??= this.#run().finally(() => (this.#pass = undefined));
    return this.#pass;
  }

  async #run(): Promise<void> {
    const thread = (this.#thread ??= this.#open());
    if (!thread) return;
    // It keeps the process alive only while it works.
    thread.ref();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    thread.once('message', resolve).once('exit', resolve);
    thread.postMessage(this.#path);
    await promise;
    thread.off('message', resolve).off('exit', resolve);
    thread.unref();
    this.#moveRest();
  }

  /**
   * Whoever writes without a break leaves something behind every pass, and the WAL would grow for as long as that goes
   * on: here nobody writes meanwhile, so that it can begin anew.
   */
  #moveRest(): void {
    try {
      const { log, checkpointed } = this.#look();
      if (log >= MAX_PAGES && log - checkpointed < PASS_PAGES) this.#db.pragma('wal_checkpoint(PASSIVE)');
    } catch {
      // It is safe in the WAL; the next pass tries again.
    }
  }

  #open(): Worker | undefined {
    try {
      // None of our environment and arguments: it needs none.
      const thread = new Worker(PROGRAM, { workerData: this.#path, env: {}, execArgv: [] });
      thread.on('error', () => this.#doWithout());
      return thread;
    } catch {
      // The system has no more threads: that is thrown, and not told by the event.
      this.#doWithout();
      return undefined;
    }
  }

  /** A thread that can't be had: SQLite then does it in its commits, as it is used to. */
  #doWithout(): void {
    this.#thread = undefined;
    this.#isUnable = true;
    if (this.#db.open) this.#db.pragma(`wal_autocheckpoint = ${PASS_PAGES}`);
  }
}
