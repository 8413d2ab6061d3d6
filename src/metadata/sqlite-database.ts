/**
 * Opens the file of the index: settings, schema, whether it was closed in order, and what to do with a file that
 * is broken. What the tables mean is for the other sqlite-* files.
 */
import { mkdirSync, renameSync, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { migrate, schemaVersion } from './sqlite-migrations.ts';

const BUSY_TIMEOUT_MS = 5000;

export interface OpenedDatabase {
  readonly db: Database.Database;
  /** No rebuild has ended in this file yet (see {@link markRebuilt}). */
  readonly isNew: boolean;
  /** The last process to use it closed it. */
  readonly wasClean: boolean;
  /** The broken file that this one replaces. */
  readonly setAside: { readonly path: string; readonly reason: Error } | undefined;
}

interface State {
  readonly closed: number;
  readonly rebuilt: number;
}

class CorruptDatabaseError extends Error {}

export function openDatabase(path: string, clock: () => number, migrations?: URL): OpenedDatabase {
  try {
    mkdirSync(dirname(path), { recursive: true });
    try {
      return { ...open(path, migrations), setAside: undefined };
    } catch (error) {
      if (!isCorruption(error)) throw error;
      const aside = setAside(path, clock());
      return { ...open(path, migrations), setAside: { path: aside, reason: error } };
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`the index ${path} can't be opened: ${reason}`, { cause });
  }
}

/** The rows now tell all that the records do: `isNew` is over. */
export function markRebuilt(db: Database.Database): void {
  db.exec('UPDATE state SET rebuilt = 1');
}

/** @param isSound rows and files agree: the next process need not look */
export function closeDatabase(db: Database.Database, isSound: boolean): void {
  if (!db.open) return;
  try {
    if (isSound) db.exec('UPDATE state SET closed = 1');
  } catch {
    // A full disk, say: without the mark the next process looks whether rows and files agree.
  } finally {
    db.close();
  }
}

function open(path: string, migrations: URL | undefined): Omit<OpenedDatabase, 'setAside'> {
  const db = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    configure(db);
    if (schemaVersion(db) > 0 && readState(db).closed === 0) check(db);
    migrate(db, migrations);
    const state = readState(db);
    // On stable storage before any file of a blob comes or goes: a mark that a power cut took back would call
    // an index clean that is not. NORMAL syncs only at checkpoints.
    db.pragma('synchronous = FULL');
    db.exec('UPDATE state SET closed = 0');
    db.pragma('synchronous = NORMAL');
    return { db, isNew: state.rebuilt === 0, wasClean: state.closed === 1 };
  } catch (error) {
    db.close();
    throw error;
  }
}

function configure(db: Database.Database): void {
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = NORMAL');
  db.pragma('foreign_keys = ON');
  db.pragma('cache_size = -65536'); // KiB: p99 of a look-up among 10 million blobs is 24 us with it, 115 us with 2 MiB.
  db.pragma('journal_size_limit = 67108864');
}

function readState(db: Database.Database): State {
  const state = db.prepare<[], State>('SELECT closed, rebuilt FROM state').get();
  if (state === undefined) throw new CorruptDatabaseError('the row of its state is missing');
  return state;
}

function check(db: Database.Database): void {
  const finding = db.pragma('quick_check(1)', { simple: true });
  if (finding !== 'ok') throw new CorruptDatabaseError(String(finding));
}

function isCorruption(error: unknown): error is Error {
  if (error instanceof CorruptDatabaseError) return true;
  return error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code);
}

/** SQLite finds the WAL of the file by its name, so that the three can still be looked into together. */
function setAside(path: string, now: number): string {
  const aside = `${path}.corrupt-${new Date(now).toISOString().replaceAll(':', '-')}`;
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  return aside;
}
