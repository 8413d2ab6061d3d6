/**
 * How bytes leave a file: read into one pooled buffer, write it, wait until the receiver has taken it. A piped read
 * stream does the same for about twice the CPU (docs/adr/0007).
 */
import type { FileHandle } from 'node:fs/promises';
import type { Outlet } from '../lib/outlet.ts';
import { BlobReadError } from './blob-store.ts';

const BUFFER_BYTES = 256 * 1024;

/** Buffers for the copy loops: memory follows the number of clients being sent to, not the size of what they get. */
export class BufferPool {
  readonly #idle: Buffer[] = [];
  readonly #maxIdle: number;

  constructor(maxIdle = 64) {
    this.#maxIdle = maxIdle;
  }

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer);
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
  const buffer = buffers.take();
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
