/**
 * Room that is kept for the index: on a full disk SQLite can neither open a file in WAL mode nor write down that
 * something is deleted, and so nothing could ever be evicted.
 */
import { randomFillSync } from 'node:crypto';
import { rmSync, statSync, truncateSync } from 'node:fs';
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The WAL grows to about 4 MiB before SQLite writes it from its beginning again, and its map takes 32 KiB. */
const RESERVE_BYTES = 8 * 1024 * 1024;
const RELEASED_BYTES = 1024 * 1024;
const PIECE_BYTES = 256 * 1024;

export class DiskReserve {
  readonly #path: string;

  constructor(indexPath: string) {
    this.#path = `${indexPath}.reserve`;
  }

  /** Gives a part of the room to whoever writes next, for that may be somebody else. False where none is left. */
  release(): boolean {
    const { size = 0 } = statSync(this.#path, { throwIfNoEntry: false }) ?? {};
    if (size === 0) return false;
    if (size > RELEASED_BYTES) truncateSync(this.#path, size - RELEASED_BYTES);
    else rmSync(this.#path);
    return true;
  }

  /** Takes the room back. Resolves to false where the disk has none: that is no fault. */
  async restore(): Promise<boolean> {
    const found = await stat(this.#path).catch(() => undefined);
    if (found?.size === RESERVE_BYTES) return true;
    const { bavail, bsize } = await statfs(dirname(this.#path));
    // Not the last that there is: others, our downloads among them, would meet a full disk because of it.
    if (bavail * bsize < 2 * RESERVE_BYTES) return false;
    try {
      await fill(this.#path);
      return true;
    } catch (cause) {
      if (!isFull(cause)) throw new Error(`the room for the index can't be kept in ${this.#path}`, { cause });
      await rm(this.#path, { force: true });
      return false;
    }
  }
}

async function fill(path: string): Promise<void> {
  await using file = await open(path, 'w');
  const piece = Buffer.alloc(PIECE_BYTES);
  // Not zeros: a file system that compresses would keep no room for them.
  for (let bytes = 0; bytes < RESERVE_BYTES; bytes += PIECE_BYTES) {
    await file.writeFile(randomFillSync(piece));
  }
}

function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
