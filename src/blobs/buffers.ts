/**
 * How bytes leave a file: read into one pooled buffer, write it, wait until the receiver has taken it. A piped read
 * stream does the same for about twice the CPU (docs/adr/0007).
 */
import type { FileHandle } from 'node:fs/promises';
import type { Outlet } from '../lib/outlet.ts';

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

/** Reads up to a buffer's worth at `position` and sends it; resolves to how much that was, 0 at the end of the file. */
export async function sendChunk(
  file: FileHandle,
  outlet: Outlet,
  buffer: Buffer,
  position: number,
  end: number,
): Promise<number> {
  const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - position), position);
  if (bytesRead > 0) await outlet.write(buffer.subarray(0, bytesRead));
  return bytesRead;
}
