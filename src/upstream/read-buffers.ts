/**
 * What the connections for blobs read into, again and again. Left to itself Node makes a new buffer of 64 KiB for each
 * read: of a GiB, 42 full garbage collections instead of one, and twice the CPU that the mirror needs for all of it.
 */
import type { Socket } from 'node:net';
import { FreeList } from '../lib/free-list.ts';
import type { SocketOptions } from './guarded-connector.ts';

/** About what a fast network has at hand when we come back to it. */
const READ_BYTES = 256 * 1024;
const MAX_IDLE = 8;

export class ReadBuffers {
  readonly #buffers = new FreeList(READ_BYTES, MAX_IDLE);
  /** Each that a socket has read into, and how much. */
  readonly #filled = new WeakMap<ArrayBufferLike, { readonly buffer: Buffer; readonly count: number }>();

  /** Has a socket read into them. */
  get socketOptions(): SocketOptions {
    const filled = this.#filled;
    return {
      // One read at a time waits to be looked at: of more, a stream makes one new buffer.
      highWaterMark: 1,
      onread: {
        buffer: () => this.#buffers.take(),
        // Node calls it as a method of the socket. From there the bytes go the way that they go without `onread`.
        callback(this: Socket, count, buffer) {
          filled.set(buffer.buffer, { buffer: buffer as Buffer, count });
          return this.push(buffer.subarray(0, count));
        },
      },
    };
  }

  /** Takes back what these bytes of a body were read into, where it holds nothing but them, and they were copied. */
  release(bytes: Uint8Array): void {
    const read = this.#filled.get(bytes.buffer);
    // What is left of a read beside them, such as the size of the next chunk, is still to be looked at.
    if (read?.count !== bytes.length) return;
    this.#filled.delete(bytes.buffer);
    this.#buffers.give(read.buffer);
  }
}
