/** Buffers of one size, used again: what they would cost the garbage collector is more than what goes through them. */
export class FreeList {
  readonly bytes: number;
  readonly #maxIdle: number;
  readonly #idle: Buffer[] = [];

  /** @param bytes of each @param maxIdle kept while nobody needs them */
  constructor(bytes: number, maxIdle: number) {
    this.bytes = bytes;
    this.#maxIdle = maxIdle;
  }

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** By whoever took it, when nobody looks at it any more. One that never comes back costs only itself. */
  give(buffer: Buffer): void {
    if (this.#idle.length < this.#maxIdle) this.#idle.push(buffer);
  }
}
