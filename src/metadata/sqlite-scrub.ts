/** The row of the scrub. Methods that write are called inside a transaction. */
import type { Database, Statement } from 'better-sqlite3';
import type { ScrubState } from './metadata-store.ts';
import { decodeDigest, encodeDigest } from './sqlite-digest.ts';

interface ScrubRow {
  readonly beganAt: number;
  readonly isComplete: number;
  readonly cursor: Buffer | null;
  readonly scannedBlobs: number;
  readonly scannedBytes: number;
  readonly corruptBlobs: number;
  readonly lastCompletedAt: number | null;
}

export class SqliteScrub {
  readonly #find: Statement<[], ScrubRow>;
  readonly #save: Statement<[number, number, Buffer | null, number, number, number, number | null]>;

  constructor(db: Database) {
    this.#find = db.prepare(`
      SELECT began_at AS beganAt, is_complete AS isComplete, cursor, scanned_blobs AS scannedBlobs,
        scanned_bytes AS scannedBytes, corrupt_blobs AS corruptBlobs, last_completed_at AS lastCompletedAt
      FROM scrub WHERE id = 1`);
    this.#save = db.prepare('INSERT OR REPLACE INTO scrub VALUES (1, ?, ?, ?, ?, ?, ?, ?)');
  }

  find(): ScrubState | undefined {
    const row = this.#find.get();
    return (
      row && {
        ...row,
        isComplete: row.isComplete === 1,
        cursor: row.cursor === null ? undefined : decodeDigest(row.cursor),
        lastCompletedAt: row.lastCompletedAt ?? undefined,
      }
    );
  }

  save(state: ScrubState): void {
    this.#save.run(
      state.beganAt,
      state.isComplete ? 1 : 0,
      state.cursor === undefined ? null : encodeDigest(state.cursor),
      state.scannedBlobs,
      state.scannedBytes,
      state.corruptBlobs,
      state.lastCompletedAt ?? null,
    );
  }
}
