/** Writing to someone who may be slow, and may go away at any moment. */
import type { Writable } from 'node:stream';

/** Whoever was being sent to has gone. Nobody's fault, and never an error of the store. */
export class SinkClosedError extends Error {
  constructor(cause?: unknown) {
    super('the receiver closed before it had all bytes', { cause });
    this.name = 'SinkClosedError';
  }
}

/**
 * One transfer to one sink. Every wait ends when the sink closes: a response that was queued behind another on its
 * connection never calls back for what was written to it, once that connection is gone.
 */
export class Outlet implements Disposable {
  readonly #sink: Writable;
  #interrupt: ((reason: Error) => void) | undefined;
  readonly #onClose = () => this.#interrupt?.(new SinkClosedError());

  constructor(sink: Writable) {
    this.#sink = sink;
    sink.once('close', this.#onClose);
  }

  /** Resolves when the sink has taken the bytes: the buffer may then be used again. */
  async write(chunk: Uint8Array): Promise<void> {
    await this.until((resolve, reject) => {
      this.#sink.write(chunk, (error) => (error ? reject(new SinkClosedError(error)) : resolve()));
    });
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
