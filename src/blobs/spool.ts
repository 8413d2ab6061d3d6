/**
 * The spool: the directory of the blobs that are on their way in. It gives out a file for each, and keeps what is left
 * of those that did not get there, so that the next download goes on where the last one ended.
 */
import { open, type FileHandle } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';
import type { BufferPool } from './buffers.ts';
import { pathFor, PartialFiles, removeFile, type PartialFile } from './partial-files.ts';
import { SharedHandle } from './shared-handle.ts';
import { SpoolFile } from './spool-file.ts';

// What others need to know of a spool file is part of this port.
export { ContentMismatchError, SpoolFailedError, SpoolWriteError, type Prefix } from './spool-errors.ts';
export type { AppendOptions, SpoolFile } from './spool-file.ts';

export interface SpoolOptions {
  readonly now?: () => number;
  /** A disk that does not take a write for so long counts as failed. */
  readonly writeTimeoutMs?: number;
  readonly openFile?: (path: string, flags: string) => Promise<FileHandle>;
}

const WRITE_TIMEOUT_MS = 10_000;

export class Spool {
  readonly #directory: string;
  readonly #buffers: BufferPool;
  readonly #partials: PartialFiles;
  readonly #openFile: (path: string, flags: string) => Promise<FileHandle>;
  readonly #writeTimeoutMs: number;
  readonly #files = new Set<SpoolFile>();

  private constructor(
    directory: string,
    buffers: BufferPool,
    partials: PartialFiles,
    { openFile = open, writeTimeoutMs = WRITE_TIMEOUT_MS }: SpoolOptions,
  ) {
    this.#directory = directory;
    this.#buffers = buffers;
    this.#partials = partials;
    this.#openFile = openFile;
    this.#writeTimeoutMs = writeTimeoutMs;
  }

  /** Takes over the directory: keeps the partial files that an earlier process left, and removes all else. */
  static async open(directory: string, buffers: BufferPool, options: SpoolOptions = {}): Promise<Spool> {
    const partials = await PartialFiles.open(directory, options.now ?? Date.now);
    return new Spool(directory, buffers, partials, options);
  }

  /** Bytes on disk in files that are being written. */
  get bytes(): number {
    let bytes = 0;
    for (const file of this.#files) bytes += file.bytesOnDisk;
    return bytes;
  }

  /** Bytes on disk in partial files that nobody is writing. */
  get partialBytes(): number {
    return this.#partials.bytes;
  }

  /** From which byte on a download is to be asked for, going by what vouches for those before: 0 where there are none. */
  resumableFrom(digest: Digest): number {
    const partial = this.#partials.find(digest);
    if (!partial) return 0;
    // Upstreams refuse a range without a byte; the one asked for in vain is skipped.
    return Math.min(partial.provenLength, (partial.size ?? partial.provenLength) - 1);
  }

  /**
   * A file for the blob, which has what is left of an earlier download of it, to be restored, unless another has that
   * or upstream now announces another size. @param size of the whole blob, where it is known
   */
  async create(digest: Digest, size: number | undefined): Promise<SpoolFile> {
    const partial = this.#partials.take(digest);
    const resumed = partial && (await this.#reopen(partial, size));
    const path = resumed?.path ?? pathFor(this.#directory, digest);
    const handle = resumed?.handle ?? (await this.#openFile(path, 'wx+'));
    const file = new SpoolFile({
      ...{ path, digest, size, partial: resumed && partial },
      handle: new SharedHandle(handle, this.#writeTimeoutMs),
      buffers: this.#buffers,
      partials: this.#partials,
      onDisposed: () => this.#files.delete(file),
    });
    this.#files.add(file);
    return file;
  }

  /** Removes partial files, those used least recently first; resolves to the bytes freed. */
  dropPartials(bytes: number): Promise<number> {
    return this.#partials.drop(bytes);
  }

  /** Removes partial files that nobody has written to for longer than that; resolves to the bytes freed. */
  expirePartials(olderThanMs: number): Promise<number> {
    return this.#partials.expire(olderThanMs);
  }

  /** Forgets the partial file of a blob that upstream says is not so. */
  discard(digest: Digest): Promise<void> {
    return this.#partials.discard(digest);
  }

  /** `undefined` where it is of no use, and gone. */
  async #reopen(
    partial: PartialFile,
    size: number | undefined,
  ): Promise<{ path: string; handle: FileHandle } | undefined> {
    const { path } = partial;
    // One that can't be opened is as good as none; a disk that opens nothing says so for the new file too.
    const handle =
      partial.size === size ? await this.#openFile(path, 'r+').catch(() => undefined) : undefined;
    if (handle) return { path, handle };
    await removeFile(path);
    return undefined;
  }
}
