import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SqliteCheckpoints } from '../../../src/metadata/sqlite-checkpoints.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';

const PASS_PAGES = 1000;
const MAX_PAGES = 4000;

describe('SqliteCheckpoints', () => {
  let directory: TempDir;
  let path: string;
  let db: Database.Database;
  let checkpoints: SqliteCheckpoints;
  beforeEach(async () => {
    directory = await tempDir();
    path = join(directory.path, 'index.db');
    db = new Database(path);
    db.pragma('journal_mode = WAL');
    db.exec('CREATE TABLE pages (bytes BLOB)');
    checkpoints = new SqliteCheckpoints(db, path);
  });
  afterEach(async () => {
    await checkpoints.close();
    db.close();
    await directory[Symbol.asyncDispose]();
  });

  /** At least so many pages, in one commit. */
  const write = (pages: number, noted = checkpoints) => {
    const insert = db.prepare('INSERT INTO pages VALUES (zeroblob(4000))');
    db.transaction(() => {
      for (let n = 0; n < pages; n += 1) insert.run();
    })();
    noted.committed();
  };
  const wal = () =>
    db.prepare<[], { log: number; checkpointed: number }>('PRAGMA wal_checkpoint(NOOP)').get()!;

  it('moves nothing while there is little', async () => {
    write(PASS_PAGES / 2);
    await checkpoints.room();
    await checkpoints.close();
    expect(wal().checkpointed).toBe(0);
    expect(wal().log).toBeGreaterThan(0);
  });

  it('has all moved into the file once there is enough, without a pass in the commits', async () => {
    write(PASS_PAGES);
    expect(wal().checkpointed).toBe(0);
    await checkpoints.close();
    expect(wal().checkpointed).toBe(wal().log);
    expect(db.pragma('quick_check', { simple: true })).toBe('ok');
  });

  it('keeps the WAL within its bound for one who waits for room', async () => {
    for (let n = 0; n < 60; n += 1) {
      write(250);
      await checkpoints.room();
      expect(wal().log).toBeLessThan(MAX_PAGES + 300);
    }
    expect(db.prepare<[], { n: number }>('SELECT count(*) AS n FROM pages').get()?.n).toBe(15_000);
  });

  it('lets nobody wait for ever for a thread that hangs, nor twice for the same pass', async () => {
    const threads: Worker[] = [];
    const asked = vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker) {
      threads.push(this);
    });
    const patient = new SqliteCheckpoints(db, path, 20);
    try {
      write(MAX_PAGES, patient);
      for (let n = 0; n < 3; n += 1) await patient.room();
      expect(asked).toHaveBeenCalledTimes(1);
      expect(wal().log).toBeGreaterThan(MAX_PAGES);
    } finally {
      asked.mockRestore();
      threads[0]!.emit('message', 'ended');
      await patient.close();
    }
    expect(wal().checkpointed).toBe(0);
    await checkpoints.room();
    expect(wal().checkpointed).toBe(wal().log);
  });

  it('has the WAL begin anew under one who writes without a break, and waits for nothing', async () => {
    write(MAX_PAGES);
    const until = Date.now() + 4000;
    let last = 0;
    while (Date.now() < until && wal().log >= last) {
      last = wal().log;
      write(10);
      await setTimeout(1);
    }
    expect(wal().log).toBeLessThan(last);
  });

  it('waits for nobody who reads an older state, and goes on when that has ended', async () => {
    const reader = new Database(path, { readonly: true });
    const held = reader.prepare('SELECT * FROM pages');
    write(10);
    const reading = held.iterate();
    reading.next();
    write(MAX_PAGES);
    await checkpoints.room();
    expect(wal().checkpointed).toBeLessThan(wal().log);
    reading.return?.();
    reader.close();
    await checkpoints.room();
    expect(wal().checkpointed).toBe(wal().log);
  });

  it('has SQLite do it in the commits where the thread can not be had', async () => {
    const lost = new SqliteCheckpoints(db, join(directory.path, 'missing', 'index.db'));
    expect(db.pragma('wal_autocheckpoint', { simple: true })).toBe(0);
    write(MAX_PAGES, lost);
    await lost.room();
    expect(db.pragma('wal_autocheckpoint', { simple: true })).toBe(PASS_PAGES);
    write(1, lost);
    write(1, lost);
    expect(wal().log).toBeLessThan(PASS_PAGES);
    await lost.close();
  });

  it('does so too where the thread can not even be begun, as in a container that has no more of them', async () => {
    // Nothing that can be handed to a thread: like a lack of threads, that is thrown at once.
    const lost = new SqliteCheckpoints(db, (() => path) as never);
    write(MAX_PAGES, lost);
    await lost.room();
    expect(db.pragma('wal_autocheckpoint', { simple: true })).toBe(PASS_PAGES);
    await lost.close();
  });

  it('leaves the file to its writer when it is closed, in the middle of a pass too', async () => {
    write(MAX_PAGES);
    await checkpoints.close();
    db.close();
    // Whoever closes the file last removes it.
    expect(existsSync(`${path}-wal`)).toBe(false);
    await checkpoints.close();
  });

  it('ends the WAL at once where it is asked to, and says whether that gave anything', () => {
    write(10);
    expect(checkpoints.endWal()).toBe(true);
    expect(wal().checkpointed).toBe(wal().log);
    expect(checkpoints.endWal()).toBe(false);
    write(1);
    expect(wal().log).toBeLessThan(10);
  });
});
