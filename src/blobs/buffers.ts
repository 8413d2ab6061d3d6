/**
 * How bytes leave a file: read into one pooled buffer, write it, wait until the receiver has taken it. A piped read
 * stream does the same for about twice the CPU (docs/adr/0007).
 */
import type { FileHandle } from 'node:fs/promises';
import type { Outlet } from '../lib/outlet.ts';
import { BlobReadError } from './blob-store.ts';

/** Small ones are for receivers that take their time, and hold a buffer all the while. */
const BUFFER_BYTES = { large: 256 * 1024, small: 32 * 1024 };

/** Buffers for the copy loops: memory follows the number of clients being sent to, not the size of what they get. */
export class BufferPool {
  readonly #idle = { large: [] as Buffer[], small: [] as Buffer[] };
  readonly #maxIdle: number;

  /** @param maxIdle of each size */
  constructor(maxIdle = 64) {
    this.#maxIdle = maxIdle;
  }

  take(size: 'large' | 'small'): Buffer {
    return this.#idle[size].pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES[size]);
  }

  give(buffer: Buffer): void {
    const idle = this.#idle[buffer.length === BUFFER_BYTES.large ? 'large' : 'small'];
    if (idle.length < this.#maxIdle) idle.push(buffer);
  }
}

/**
 * Reads a buffer's worth at `position`, at most up to `end`, and sends it; resolves to how much that was.
 * @throws BlobReadError where the file can't be read, or ends at `position`
 */
export async function sendChunk(
  file: FileHandle,
  outlet: Outlet,
  buffers: BufferPool,
  position: number,
  end: number,
): Promise<number> {
  const buffer = buffers.take(outlet.isSlow ? 'small' : 'large');
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
