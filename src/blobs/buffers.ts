/**
 * How bytes leave a file: by sendfile(2) where that can be had (docs/adr/0012), and else read into one pooled buffer,
 * write it, wait until the receiver has taken it. A piped read stream does the same for about twice the CPU
 * (docs/adr/0007).
 */
import type { FileHandle } from 'node:fs/promises';
import { FreeList } from '../lib/free-list.ts';
import type { Outlet } from '../lib/outlet.ts';
import { BlobReadError } from './blob-store.ts';
import type { Sendfile } from './sendfile.ts';

/**
 * Large ones cost the least, and there are only so many of them: more receivers than that share their time anyway, and
 * get medium ones. Small ones are for receivers that take their time, and hold a buffer all the while.
 */
const BUFFER_BYTES = { large: 512 * 1024, medium: 128 * 1024, small: 32 * 1024 };

export interface BufferPoolOptions {
  /** Large ones at once; of medium and small ones twice as many are kept for the next. */
  readonly maxLarge?: number;
  /** What needs no buffers, where there is such a thing. */
  readonly sendfile?: Sendfile | undefined;
}

/** Buffers for the copy loops: memory follows the number of clients being sent to, not the size of what they get. */
export class BufferPool {
  readonly sendfile: Sendfile | undefined;
  readonly #free: Readonly<Record<keyof typeof BUFFER_BYTES, FreeList>>;
  readonly #maxLarge: number;
  #largeInUse = 0;

  constructor({ maxLarge = 32, sendfile }: BufferPoolOptions = {}) {
    this.#maxLarge = maxLarge;
    this.#free = {
      large: new FreeList(BUFFER_BYTES.large, maxLarge),
      medium: new FreeList(BUFFER_BYTES.medium, 2 * maxLarge),
      small: new FreeList(BUFFER_BYTES.small, 2 * maxLarge),
    };
    this.sendfile = sendfile;
  }

  /** Not small, it is as large as there is one. */
  take(isSmall: boolean): Buffer {
    const size = isSmall ? 'small' : this.#largeInUse < this.#maxLarge ? 'large' : 'medium';
    if (size === 'large') this.#largeInUse += 1;
    return this.#free[size].take();
  }

  give(buffer: Buffer): void {
    if (buffer.length === BUFFER_BYTES.large) this.#largeInUse -= 1;
    Object.values(this.#free)
      .find(({ bytes }) => bytes === buffer.length)
      ?.give(buffer);
  }
}

/**
 * Sends what the file has from `position` on, at most up to `end`; resolves to how much that was: at least a byte, and
 * no more than a buffer holds unless it went past the buffers.
 * @throws BlobReadError where the file can't be read, or ends at `position`
 */
export async function sendChunk(
  file: FileHandle,
  outlet: Outlet,
  buffers: BufferPool,
  position: number,
  end: number,
): Promise<number> {
  const sent = await buffers.sendfile?.send(file, outlet, position, end);
  if (sent) return sent;
  // The first bytes only have to take the headers along where the rest will need no buffer.
  const isFirstOfMore = !outlet.hasWritten && buffers.sendfile?.wantsRestOf(end - position);
  const isSmall = outlet.isSlow || isFirstOfMore === true || end - position <= BUFFER_BYTES.small;
  const buffer = buffers.take(isSmall);
  try {
    const { bytesRead } = await file
      .read(buffer, 0, Math.min(buffer.length, end - position), position)
      .catch((cause: unknown) => {
        throw new BlobReadError(position, { cause });
      });
    if (bytesRead === 0) throw new BlobReadError(position, { cause: new Error('the file ends there') });
    await outlet.write(buffer.subarray(0, bytesRead));
    return bytesRead;
  } finally {
    buffers.give(buffer);
  }
}
