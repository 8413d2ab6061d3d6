/** What counts as a broken index, and the mark beside it by which the next process knows. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import Database from 'better-sqlite3';

/** The file can be read, and what it says can't be. */
export class CorruptIndexError extends Error {
  override readonly name = 'CorruptIndexError';
}

export function isCorruption(error: unknown): error is Error {
  if (error instanceof CorruptIndexError) return true;
  return error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code);
}

/** A file of its own: writing it needs nothing of the index. */
export class CorruptionMark {
  readonly #path: string;

  constructor(indexPath: string) {
    this.#path = `${indexPath}.corrupt`;
  }

  /** Why the index was found broken; undefined where it was not. */
  read(): Error | undefined {
    return existsSync(this.#path) ? new CorruptIndexError(readFileSync(this.#path, 'utf8')) : undefined;
  }

  leave(reason: Error): void {
    writeFileSync(this.#path, reason.message, { flush: true });
  }

  remove(): void {
    rmSync(this.#path, { force: true });
  }
}
