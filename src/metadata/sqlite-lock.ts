/**
 * Keeps a second process out of a data directory: two would sweep each other's spool. The lock is SQLite's on a file,
 * which the kernel takes back when the process dies, however it dies.
 */
import { join } from 'node:path';
import Database from 'better-sqlite3';

export interface DirectoryLock {
  release(): void;
}

/** @throws Error where another process has it */
export function lockDirectory(directory: string): DirectoryLock {
  const database = new Database(join(directory, 'lock'), { timeout: 0 });
  try {
    // Nothing is ever written, and a full disk must not keep it from being locked.
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    const isTaken = cause instanceof Database.SqliteError && cause.code.startsWith('SQLITE_BUSY');
    const what = isTaken ? 'another process is using' : `can't lock`;
    throw new Error(`${what} the data directory ${directory}`, { cause });
  }
  return { release: () => database.close() };
}
