/**
 * The spool: files that are read while they are still being written. One writer appends, hashing as it goes; any
 * number of readers follow at their own pace and offset. The last byte stays back until the digest is known to match.
 */
import { mkdir, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Writable, type Readable } from 'node:stream';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet } from '../lib/outlet.ts';
import { algorithmOf, DigestHasher, hexOf, type Digest } from '../oci/digest.ts';
import type { BlobContent, VerifiedFile } from './blob-store.ts';
import { afterBytes, bytesIn, drain, writeAll } from './appending.ts';
import { sendChunk, type BufferPool } from './buffers.ts';

/** What may wait in memory between the network and the disk, for each file that is being written. */
const WRITE_BUFFER_BYTES = 1024 * 1024;

/** The bytes are not those that were asked for: too many, or with another digest. */
export class ContentMismatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ContentMismatchError';
  }
}

/** Our own disk would not take the bytes. `prefix` is what it has taken, unverified, for whoever goes on with another source. */
export class SpoolWriteError extends Error {
  readonly prefix: Prefix;

  constructor(cause: unknown, prefix: Prefix) {
    super('the spool file could not be written', { cause });
    this.name = 'SpoolWriteError';
    this.prefix = prefix;
  }
}

export interface Prefix {
  readonly length: number;
  readonly digest: Digest;
}

/** A reader was cut off because the file it follows failed; `cause` says why, `position` where in the blob. */
export class SpoolFailedError extends Error {
  readonly position: number;

  constructor(position: number, cause: Error) {
    super(`the spool file failed at byte ${position}`, { cause });
    this.name = 'SpoolFailedError';
    this.position = position;
  }
}

export class Spool {
  readonly #directory: string;
  readonly #buffers: BufferPool;
  readonly #files = new Set<SpoolFile>();

  private constructor(directory: string, buffers: BufferPool) {
    this.#directory = directory;
    this.#buffers = buffers;
  }

  /** Takes over the directory and removes what an earlier process left in it. */
  static async open(directory: string, buffers: BufferPool): Promise<Spool> {
    await mkdir(directory, { recursive: true });
    for (const name of await readdir(directory))
      await rm(join(directory, name), { force: true, recursive: true });
    return new Spool(directory, buffers);
  }

  /** Bytes on disk in files that are still being written. */
  get bytes(): number {
    let bytes = 0;
    for (const file of this.#files) bytes += file.bytesWritten;
    return bytes;
  }

  /** @param size of the whole blob, where it is known */
  async create(digest: Digest, size: number | undefined): Promise<SpoolFile> {
    const path = join(this.#directory, `${algorithmOf(digest)}-${hexOf(digest)}-${randomUUID()}`);
    const file = new SpoolFile(await open(path, 'wx+'), path, digest, size, this.#buffers, () =>
      this.#files.delete(file),
    );
    this.#files.add(file);
    return file;
  }
}

export interface AppendOptions {
  readonly signal: AbortSignal;
  /** Bytes at the beginning of the source that are here already. */
  readonly skip?: number;
  /** Hears of every byte that came, skipped ones too. */
  readonly onBytes?: (count: number) => void;
  /** Asked before a file of unknown size grows to that many bytes. */
  readonly admit?: (bytes: number) => Promise<boolean>;
}

/** One blob on its way in. Whoever created it disposes it, which removes it from disk unless `verify` gave it away. */
export class SpoolFile implements AsyncDisposable {
  readonly digest: Digest;
  readonly size: number | undefined;
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #buffers: BufferPool;
  readonly #hasher: DigestHasher;
  readonly #onDispose: () => void;
  #bytesWritten = 0;
  #state: 'writing' | 'verified' | Error = 'writing';
  #wake: (() => void)[] = [];
  #isHandedOver = false;
  /** The writer and each reader that is open; the file handle closes with the last. */
  #users = 1;

  constructor(
    handle: FileHandle,
    path: string,
    digest: Digest,
    size: number | undefined,
    buffers: BufferPool,
    onDispose: () => void,
  ) {
    this.#handle = handle;
    this.#path = path;
    this.digest = digest;
    this.size = size;
    this.#buffers = buffers;
    this.#hasher = new DigestHasher(digest);
    this.#onDispose = onDispose;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /**
   * Adds what the source has. Rejects when the source breaks or is aborted (what came before stays, and more may be
   * appended), with ContentMismatchError when it has too many bytes, with SpoolWriteError when there is no place.
   */
  async append(source: Readable, options: AppendOptions): Promise<void> {
    let skip = options.skip ?? 0;
    const store = async (chunks: readonly Uint8Array[]) => {
      const wanted = afterBytes(chunks, skip);
      const count = bytesIn(chunks);
      skip -= count - bytesIn(wanted);
      options.onBytes?.(count);
      await this.#write(wanted, options);
    };
    await drain(
      source,
      new Writable({
        highWaterMark: WRITE_BUFFER_BYTES,
        write: (chunk: Uint8Array, _encoding, done) => void store([chunk]).then(() => done(), done),
        // What came while the last write ran goes out in one.
        writev: (entries, done) =>
          void store(entries.map((entry) => entry.chunk as Uint8Array)).then(() => done(), done),
      }),
      options.signal,
    );
  }

  async #write(chunks: readonly Uint8Array[], options: AppendOptions): Promise<void> {
    const length = this.#bytesWritten + bytesIn(chunks);
    if (this.size === undefined && options.admit && !(await options.admit(length))) {
      throw new SpoolWriteError(new Error('the cache has no room for more of it'), this.#prefix());
    }
    if (this.size !== undefined && length > this.size) {
      throw new ContentMismatchError(`the body has more than the ${this.size} bytes announced`);
    }
    try {
      await writeAll(this.#handle, chunks, this.#bytesWritten);
    } catch (cause) {
      throw new SpoolWriteError(cause, this.#prefix());
    }
    for (const chunk of chunks) this.#hasher.update(chunk);
    this.#bytesWritten = length;
    this.#notify();
  }

  #prefix(): Prefix {
    return { length: this.#bytesWritten, digest: this.#hasher.digestSoFar() };
  }

  /** A reader, which may be opened at any time before the file is disposed, and outlives that. */
  open(): BlobContent {
    if (this.#users === 0) throw new Error('the spool file is closed');
    this.#users += 1;
    return {
      size: this.#state === 'verified' ? this.#bytesWritten : this.size,
      sendTo: (sink, range) => this.#sendTo(sink, range),
      close: () => this.#release(),
    };
  }

  async #sendTo(sink: Writable, range: ByteRange = { start: 0, end: this.size ?? Infinity }): Promise<void> {
    using outlet = new Outlet(sink);
    for (let position = range.start; ;) {
      if (this.#state instanceof Error) throw new SpoolFailedError(position, this.#state);
      const isVerified = this.#state === 'verified';
      // No transfer ends before the digest is known to match: not of the whole, nor of a range.
      const end = Math.min(this.#bytesWritten, range.end) - (isVerified ? 0 : 1);
      if (position < end) {
        position += await sendChunk(this.#handle, outlet, this.#buffers, position, end);
      } else if (isVerified) {
        return;
      } else {
        await outlet.until((resolve) => this.#wake.push(resolve));
      }
    }
  }

  /**
   * To be called once, when all bytes are in. On a match readers get the last byte at once; the file is the caller's
   * when it is on stable storage too. @throws ContentMismatchError
   */
  async verify(): Promise<VerifiedFile> {
    const actual = this.#hasher.digest();
    if (actual !== this.digest) {
      throw new ContentMismatchError(
        `the ${this.#bytesWritten} bytes have the digest ${actual} instead of ${this.digest}`,
      );
    }
    this.#state = 'verified';
    this.#notify();
    await this.#handle.datasync();
    this.#isHandedOver = true;
    return { path: this.#path, digest: this.digest, size: this.#bytesWritten };
  }

  /** Cuts off every reader, present and future, unless the bytes are already verified. The first cause stays. */
  fail(cause: Error): void {
    if (this.#state !== 'writing') return;
    this.#state = cause;
    this.#notify();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(new Error('the spool file was discarded'));
    this.#onDispose();
    try {
      if (!this.#isHandedOver) await rm(this.#path, { force: true });
    } finally {
      await this.#release();
    }
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const resolve of wake) resolve();
  }

  async #release(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await this.#handle.close();
  }
}
