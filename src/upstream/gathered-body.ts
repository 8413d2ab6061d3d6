/**
 * The body of an answer as it comes off its connection: gathered in large pieces while its reader is busy with the one
 * before, and given to him at once where he waits for it.
 */
import type { ByteSource } from '../lib/byte-source.ts';
import { FreeList } from '../lib/free-list.ts';

/** A reader gets no more at a time, and no more than one of them waits for him. */
const PIECE_BYTES = 512 * 1024;
const MAX_IDLE = 4;

/** The connection, which may go on to bring some after it was told to pause. */
export interface Flow {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** Of the bodies of all connections. */
export function pieceBuffers(): FreeList {
  return new FreeList(PIECE_BYTES, MAX_IDLE);
}

interface Piece {
  readonly buffer: Buffer;
  length: number;
}

export class GatheredBody implements ByteSource {
  readonly #flow: Flow;
  readonly #buffers: FreeList;
  readonly #pieceBytes: number;
  /** What has come and was not given out: all but the last are full. */
  #pieces: Piece[] = [];
  #bytesWaiting = 0;
  #isPaused = false;
  /** In the reader's hands. */
  #given: Buffer | undefined;
  #end: 'whole' | Error | undefined;
  #wake: (() => void) | undefined;

  /** @param size of the body, where it is known: a small one needs no large buffers */
  constructor(flow: Flow, buffers: FreeList, size = Infinity) {
    this.#flow = flow;
    this.#buffers = buffers;
    this.#pieceBytes = size > 0 ? Math.min(size, buffers.bytes) : buffers.bytes;
  }

  /** Copies what has come. */
  add(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0;) {
      const piece = this.#pieceWithRoom();
      const part = rest.subarray(0, piece.buffer.length - piece.length);
      piece.buffer.set(part, piece.length);
      piece.length += part.length;
      rest = rest.subarray(part.length);
    }
    this.#bytesWaiting += bytes.length;
    if (!this.#isPaused && this.#bytesWaiting >= this.#pieceBytes) {
      this.#isPaused = true;
      this.#flow.pause();
    }
    this.#wake?.();
  }

  /** Nothing more comes. @param cause where that is not the end of the body */
  end(cause?: Error): void {
    this.#end ??= cause ?? 'whole';
    this.#wake?.();
  }

  destroy(cause = new Error('nobody reads the body any more')): void {
    if (this.#end) return;
    this.end(cause);
    this.#flow.abort(cause);
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        // What is in the reader's hands may still be on its way to a disk that hangs: it is not used again.
        this.#pieces = [];
        this.destroy();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  async #next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#given?.length === this.#buffers.bytes) this.#buffers.give(this.#given);
    this.#given = undefined;
    if (this.#pieces.length === 0 && !this.#end) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const piece = this.#pieces.shift();
    if (piece) {
      this.#given = piece.buffer;
      this.#bytesWaiting -= piece.length;
      this.#goOn();
      return { done: false, value: piece.buffer.subarray(0, piece.length) };
    }
    if (this.#end instanceof Error) throw this.#end;
    return { done: true, value: undefined };
  }

  #goOn(): void {
    if (!this.#isPaused || this.#bytesWaiting >= this.#pieceBytes) return;
    this.#isPaused = false;
    this.#flow.resume();
  }

  #pieceWithRoom(): Piece {
    const last = this.#pieces.at(-1);
    if (last && last.length < last.buffer.length) return last;
    const isPooled = this.#pieceBytes === this.#buffers.bytes;
    const buffer = isPooled ? this.#buffers.take() : Buffer.allocUnsafeSlow(this.#pieceBytes);
    const piece = { buffer, length: 0 };
    this.#pieces.push(piece);
    return piece;
  }
}
