/** An open file that one writes and others read. It closes with the last of them; a disk that hangs holds up nobody for long. */
import type { FileHandle } from 'node:fs/promises';

export class SharedHandle {
  readonly file: FileHandle;
  readonly #timeoutMs: number;
  /** The writer and each reader. */
  #users = 1;
  #stuck: Promise<unknown> | undefined;

  constructor(file: FileHandle, timeoutMs: number) {
    this.file = file;
    this.#timeoutMs = timeoutMs;
  }

  /** To be released once by each who shares it, as by the writer. */
  share(): void {
    if (this.#users === 0) throw new Error('the file is closed');
    this.#users += 1;
  }

  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await this.file.close();
  }

  /**
   * What the disk was asked for and did not do in time. The writer must not release the file before it has settled:
   * its descriptor would be given to another file, which would then be written to.
   */
  get stuck(): Promise<unknown> | undefined {
    return this.#stuck;
  }

  /** For the writer; readers read the file themselves. Resolves to how many bytes were read. */
  async read(buffer: Buffer, length: number, position: number): Promise<number> {
    return (await this.inTime(this.file.read(buffer, 0, length, position))).bytesRead;
  }

  /** Resolves to how many bytes were written: not all where the disk is nearly full. */
  async write(bytes: Uint8Array, position: number): Promise<number> {
    return (await this.inTime(this.file.write(bytes, 0, bytes.length, position))).bytesWritten;
  }

  /** Waits for something that the writer wants of the disk, but not for ever. */
  async inTime<T>(operation: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#stuck = operation.then(
        () => undefined,
        () => undefined,
      );
      late.reject(new Error(`the disk has not answered for ${this.#timeoutMs} ms`));
    }, this.#timeoutMs);
    try {
      return await Promise.race([operation, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}
