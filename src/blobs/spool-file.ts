/**
 * A file that is read while it is still being written. One writer appends, hashing as it goes; any number of readers
 * follow at their own pace and offset. The last byte stays back until the digest is known to match.
 */
import { rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import type { ByteRange } from '../lib/byte-range.ts';
import type { ByteSource } from '../lib/byte-source.ts';
import { Outlet } from '../lib/outlet.ts';
import { DigestHasher, type Digest } from '../oci/digest.ts';
import { drain, writeAll, type DrainOptions } from './appending.ts';
import type { BlobContent, VerifiedFile } from './blob-store.ts';
import { sendChunk, type BufferPool } from './buffers.ts';
import { Checkpoints, provenPrefixes, readCheckpoints } from './checkpoints.ts';
import type { Leftover, PartialFile, PartialFiles } from './partial-files.ts';
import type { SharedHandle } from './shared-handle.ts';
import { ContentMismatchError, SpoolFailedError, SpoolWriteError, type Prefix } from './spool-errors.ts';
import { WaitingReaders } from './waiting-readers.ts';

/** Less than this is sooner fetched again than kept. */
const MIN_PARTIAL_BYTES = 1024 * 1024;

export interface AppendOptions extends DrainOptions {
  /** Asked before a file of unknown size grows to that many bytes. */
  readonly admit?: (bytes: number) => Promise<boolean>;
}

interface SpoolFileParts {
  readonly digest: Digest;
  readonly size: number | undefined;
  readonly path: string;
  readonly handle: SharedHandle;
  readonly buffers: BufferPool;
  readonly partials: PartialFiles;
  /** Where the file is not new: what it was when it was taken. */
  readonly partial: PartialFile | undefined;
  /** Its bytes are no longer those of a file that is being written. */
  readonly onDisposed: () => void;
}

/**
 * One blob on its way in. Whoever created it disposes it: then it becomes a partial file if there is something in it
 * to go on from, and is removed if not, unless `verify` gave it away.
 */
export class SpoolFile implements AsyncDisposable {
  readonly digest: Digest;
  readonly size: number | undefined;
  readonly #parts: SpoolFileParts;
  readonly #handle: SharedHandle;
  readonly #checkpoints: Checkpoints;
  readonly #readers = new WaitingReaders();
  #hasher: DigestHasher;
  #bytesWritten = 0;
  /** What an earlier download left, until it is restored. */
  #unrestored: PartialFile | undefined;
  #state: 'writing' | 'verified' | Error = 'writing';
  #isHandedOver = false;

  constructor(parts: SpoolFileParts) {
    this.digest = parts.digest;
    this.size = parts.size;
    this.#parts = parts;
    this.#handle = parts.handle;
    this.#checkpoints = new Checkpoints(parts.path, parts.size);
    this.#hasher = new DigestHasher(parts.digest);
    this.#unrestored = parts.partial;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  get bytesOnDisk(): number {
    return this.#unrestored?.length ?? this.#bytesWritten;
  }

  /**
   * Reads what an earlier download left, and takes over what its checkpoints prove; the rest is dropped. Readers get
   * it as it is proven. To be called before the first `append`; aborted, it may be called again, and goes on.
   * @throws SpoolWriteError where the disk does not let go of the rest
   */
  async restore(signal: AbortSignal): Promise<void> {
    if (!this.#unrestored) return;
    const { prefixes = [] } = (await readCheckpoints(this.#parts.path)) ?? {};
    const start = { length: this.#bytesWritten, hasher: this.#hasher };
    for await (const { length, hasher } of provenPrefixes(this.#handle, prefixes, start, signal)) {
      this.#hasher = hasher;
      this.#bytesWritten = length;
      this.#readers.wakeAll();
    }
    try {
      // First what vouches, then the bytes: a checkpoint must never meet bytes that were written after it was refuted.
      const proven = prefixes.filter(({ length }) => length <= this.#bytesWritten);
      await this.#handle.inTime(this.#checkpoints.rewind(proven));
      await this.#handle.inTime(this.#handle.file.truncate(this.#bytesWritten));
    } catch (cause) {
      throw this.#writeError(cause);
    }
    this.#unrestored = undefined;
  }

  /**
   * Adds what the source has. Rejects when the source breaks or is aborted, and with SpoolWriteError when there is no
   * place for it or the disk does not take it: what came before stays, and more may be appended, unless the disk hangs.
   * The file fails, for its readers too, with ContentMismatchError when the source has too many bytes.
   */
  async append(source: ByteSource, options: AppendOptions): Promise<void> {
    await drain(source, (piece) => this.#write(piece, options), options);
  }

  async #write(piece: Uint8Array, { admit }: AppendOptions): Promise<void> {
    if (this.#state instanceof Error) throw this.#state;
    if (this.#unrestored) throw new Error('a partial file has to be restored before it grows');
    const length = this.#bytesWritten + piece.length;
    if (this.size === undefined && admit && !(await admit(length))) {
      throw this.#writeError(new Error('the cache has no room for more of it'));
    }
    if (this.size !== undefined && length > this.size) {
      throw this.#mismatch(`the body has more than the ${this.size} bytes announced`);
    }
    // Of its own until the piece is written: a reader that fails meanwhile asks what is there by now.
    const hasher = this.#hasher.copy();
    const written = writeAll(this.#handle, piece, this.#bytesWritten);
    // While the disk is at it.
    hasher.update(piece);
    try {
      await written;
    } catch (cause) {
      throw this.#writeError(cause);
    }
    this.#hasher = hasher;
    this.#bytesWritten = length;
    if (this.#checkpoints.isDue(length)) this.#checkpoints.add(this.prefix());
    this.#readers.wakeAll();
  }

  #writeError(cause: unknown): SpoolWriteError {
    const error = new SpoolWriteError(cause, this.prefix());
    // What hangs may be written yet: nothing else may be written in its place.
    if (this.#handle.stuck) this.fail(error);
    return error;
  }

  /** What is there by now. */
  prefix(): Prefix {
    return { length: this.#bytesWritten, digest: this.#hasher.digestSoFar() };
  }

  /** A reader, which may be opened at any time before the file is disposed, and outlives that. */
  open(): BlobContent {
    this.#handle.share();
    return {
      size: this.#state === 'verified' ? this.#bytesWritten : this.size,
      sendTo: (sink, range) => this.#sendTo(sink, range),
      close: () => this.#handle.release(),
    };
  }

  async #sendTo(sink: Writable, range: ByteRange = { start: 0, end: this.size ?? Infinity }): Promise<void> {
    using outlet = new Outlet(sink);
    for (let position = range.start; ;) {
      const state = this.#state;
      // What our disk has taken is right, as far as anybody knows, and need not be fetched again; else nothing is.
      if (state instanceof Error && !(state instanceof SpoolWriteError)) {
        throw new SpoolFailedError(position, state);
      }
      // No transfer ends before the digest is known to match: not of the whole, nor of a range.
      const end = Math.min(this.#bytesWritten, range.end) - (state === 'verified' ? 0 : 1);
      if (position < end) {
        position += await sendChunk(this.#handle.file, outlet, this.#parts.buffers, position, end);
      } else if (state === 'verified') {
        return;
      } else if (state instanceof Error) {
        throw new SpoolFailedError(position, state);
      } else {
        await this.#readers.wait(outlet);
      }
    }
  }

  /**
   * To be called once, when all bytes are in. On a match readers get the last byte at once; the file is the caller's
   * when it is on stable storage too. @throws ContentMismatchError
   * @throws SpoolWriteError where it does not get to stable storage: readers have the right bytes all the same
   */
  async verify(): Promise<VerifiedFile> {
    if (this.#state instanceof Error) throw this.#state;
    const { length, digest } = this.prefix();
    if (digest !== this.digest) {
      throw this.#mismatch(`the ${length} bytes have the digest ${digest} instead of ${this.digest}`);
    }
    this.#state = 'verified';
    this.#readers.wakeAll();
    try {
      await this.#handle.file.datasync();
    } catch (cause) {
      throw new SpoolWriteError(cause, { length, digest });
    }
    this.#isHandedOver = true;
    return { path: this.#parts.path, digest, size: length };
  }

  /** Cuts off every reader, present and future, unless the bytes are already verified. The first cause stays. */
  fail(cause: Error): void {
    if (this.#state !== 'writing') return;
    this.#state = cause;
    this.#readers.wakeAll();
  }

  #mismatch(message: string): ContentMismatchError {
    const error = new ContentMismatchError(message);
    this.fail(error);
    return error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(new Error('the spool file was discarded'));
    const { stuck } = this.#handle;
    if (!stuck) {
      await this.#end();
      return;
    }
    // Nobody waits for a disk that hangs. What it can't remove later either, goes at the next start.
    stuck.then(() => this.#end()).catch(() => undefined);
  }

  async #end(): Promise<void> {
    try {
      const leftover = this.#isHandedOver ? undefined : await this.#leftover();
      if (leftover) {
        await this.#parts.partials.keep(leftover);
      } else {
        await this.#checkpoints.remove();
        if (!this.#isHandedOver) await rm(this.#parts.path, { force: true });
      }
    } finally {
      this.#parts.onDisposed();
      await this.#handle.release();
    }
  }

  /** What a later download can go on from: nothing where the bytes or the disk are not to be trusted. */
  async #leftover(): Promise<Leftover | undefined> {
    const state = this.#state;
    const isDoubtful = state instanceof ContentMismatchError || state instanceof SpoolWriteError;
    if (isDoubtful || state === 'verified') return undefined;
    if (this.#unrestored) return this.#unrestored;
    const { digest, size } = this;
    const length = this.#bytesWritten;
    if (length < MIN_PARTIAL_BYTES) return undefined;
    this.#checkpoints.add(this.prefix());
    const isVouchedFor = await this.#checkpoints.flush();
    return isVouchedFor ? { digest, size, path: this.#parts.path, length, provenLength: length } : undefined;
  }
}
