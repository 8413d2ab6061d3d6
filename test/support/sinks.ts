/** Receivers of bytes: one that keeps all, one that is slow, one that goes away. */
import { Writable } from 'node:stream';

export class Collector extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.#chunks.push(Buffer.from(chunk)); // The sender uses its buffer again.
    done();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** Takes nothing until it is let go on; holds the writer as a client does that does not read. */
export class StalledSink extends Writable {
  #waiting: (() => void) | undefined;
  readonly stalled = Promise.withResolvers<undefined>();

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#waiting = done;
    this.stalled.resolve(undefined);
  }

  proceed(): void {
    this.#waiting?.();
  }
}
