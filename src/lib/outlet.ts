/** Writing to someone who may be slow, and may go away at any moment. */
import type { Writable } from 'node:stream';
import { rawSocketOf, type RawSocket } from './raw-socket.ts';

/** Whoever was being sent to has gone. Nobody's fault, and never an error of the store. */
export class SinkClosedError extends Error {
  constructor(cause?: unknown) {
    super('the receiver closed before it had all bytes', { cause });
    this.name = 'SinkClosedError';
  }
}

/** What is written in that time was taken by a fast receiver. */
const SLOW_MS = 1000;
/** A kernel lets a third of its send buffer drain before it takes more, and then takes that at once (tcp_wmem: 4 MiB). */
const BURST_BYTES = 4 * 1024 * 1024;

/**
 * One transfer to one sink. Every wait ends when the sink closes: a response that was queued behind another on its
 * connection never calls back for what was written to it, once that connection is gone.
 */
export class Outlet implements Disposable {
  readonly #sink: Writable;
  #interrupt: ((reason: Error) => void) | undefined;
  readonly #onClose = () => this.#interrupt?.(new SinkClosedError());
  readonly #now: () => number;
  #slowBytesLeft = 0;
  #hasWritten = false;
  #forgoesRawSocket = false;

  constructor(sink: Writable, now = () => performance.now()) {
    this.#sink = sink;
    this.#now = now;
    sink.once('close', this.#onClose);
  }

  /** Whether the receiver let us wait lately: what the next write holds, it may hold for long. */
  get isSlow(): boolean {
    return this.#slowBytesLeft > 0;
  }

  get hasWritten(): boolean {
    return this.#hasWritten;
  }

  /**
   * Where bytes may be sent instead of being written, if there is such a place: never before the first write, for headers
   * go out with that at the latest.
   */
  get rawSocket(): RawSocket | undefined {
    return this.#hasWritten && !this.#forgoesRawSocket ? rawSocketOf(this.#sink) : undefined;
  }

  /** From now on everything is written. */
  forgoRawSocket(): void {
    this.#forgoesRawSocket = true;
  }

  /** Resolves when the sink has taken the bytes: the buffer may then be used again. */
  async write(chunk: Uint8Array): Promise<void> {
    const startedAt = this.#now();
    await this.until((resolve, reject) => {
      this.#sink.write(chunk, (error) => (error ? reject(new SinkClosedError(error)) : resolve()));
    });
    this.#hasWritten = true;
    const isSlow = this.#now() - startedAt > SLOW_MS;
    this.#slowBytesLeft = isSlow ? BURST_BYTES : Math.max(0, this.#slowBytesLeft - chunk.length);
  }

  /** Waits for what `start` arranges, or throws SinkClosedError. */
  async until(start: (resolve: () => void, reject: (reason: Error) => void) => void): Promise<void> {
    if (this.#sink.destroyed) throw new SinkClosedError();
    try {
      await new Promise<void>((resolve, reject) => {
        this.#interrupt = reject;
        start(resolve, reject);
      });
    } finally {
      this.#interrupt = undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#sink.off('close', this.#onClose);
  }
}
