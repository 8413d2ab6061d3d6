/**
 * Blobs as files named by their digests: `<root>/v1/sha256/ab/<hex>`. A file gets that name only when its bytes are
 * verified and on stable storage, so whatever has such a name may be trusted after any crash.
 */
import { mkdir, open, opendir, rename, rm, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet } from '../lib/outlet.ts';
import { algorithmOf, hexOf, isDigest, type Digest } from '../oci/digest.ts';
import type { BlobContent, BlobStat, BlobStore, VerifiedFile } from './blob-store.ts';
import { sendChunk, type BufferPool } from './buffers.ts';

/** The version of the layout: another one would live beside it, so that old files are never misread. */
const LAYOUT = 'v1';
const ALGORITHMS = ['sha256', 'sha512'] as const;

export class DiskBlobStore implements BlobStore {
  readonly #root: string;
  readonly #buffers: BufferPool;
  readonly #onUnsynced: (error: Error) => void;

  private constructor(root: string, buffers: BufferPool, onUnsynced: (error: Error) => void) {
    this.#root = join(root, LAYOUT);
    this.#buffers = buffers;
    this.#onUnsynced = onUnsynced;
  }

  /**
   * Directories that are there already need no room on the disk.
   * @param onUnsynced told of a blob that is here but that a power cut may take back
   */
  static async open(
    root: string,
    buffers: BufferPool,
    onUnsynced: (error: Error) => void = () => undefined,
  ): Promise<DiskBlobStore> {
    const store = new DiskBlobStore(root, buffers, onUnsynced);
    for (const algorithm of ALGORITHMS) await mkdir(join(store.#root, algorithm), { recursive: true });
    return store;
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    const stats = await unlessMissing(stat(this.#path(digest)));
    return stats && { digest, size: stats.size };
  }

  async open(digest: Digest): Promise<BlobContent | undefined> {
    const file = await unlessMissing(open(this.#path(digest), 'r'));
    if (!file) return undefined;
    try {
      return new FileContent(file, (await file.stat()).size, this.#buffers);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async adopt(file: VerifiedFile): Promise<void> {
    const target = this.#path(file.digest);
    const shard = dirname(target);
    let isNew: boolean;
    try {
      isNew = await makeDirectory(shard);
      await rename(file.path, target);
    } catch (error) {
      // A disk that refuses this too is rid of it at the next start; why the blob was not taken is what has to be told.
      await rm(file.path, { force: true }).catch(() => undefined);
      throw error;
    }
    try {
      await syncDirectory(shard);
      if (isNew) await syncDirectory(dirname(shard));
    } catch (cause) {
      // Its bytes are right and on stable storage. The name alone may go with a power cut: then it is a miss, no worse
      // than to throw it away now.
      this.#onUnsynced(new Error(`the name of ${file.digest} may not survive a power cut`, { cause }));
    }
  }

  async delete(digest: Digest): Promise<boolean> {
    return (await unlessMissing(unlink(this.#path(digest)).then(() => true))) ?? false;
  }

  async *list(): AsyncIterable<BlobStat> {
    for (const algorithm of ALGORITHMS) {
      for await (const shard of await opendir(join(this.#root, algorithm))) {
        if (!shard.isDirectory()) continue;
        for await (const entry of await opendir(join(this.#root, algorithm, shard.name))) {
          const digest = `${algorithm}:${entry.name}`;
          const found = entry.isFile() && isDigest(digest) ? await this.stat(digest) : undefined;
          if (found) yield found;
        }
      }
    }
  }

  async close(): Promise<void> {
    // Nothing is kept open between calls.
  }

  #path(digest: Digest): string {
    return join(this.#root, fileOf(digest));
  }
}

/** Below the directory of the layout. */
function fileOf(digest: Digest): string {
  const hex = hexOf(digest);
  return join(algorithmOf(digest), hex.slice(0, 2), hex);
}

/** Where the blobs of a store in `root` are, for whoever else opens their files. */
export const blobFiles = {
  directory: (root: string) => join(root, LAYOUT),
  fileOf,
};

class FileContent implements BlobContent {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #buffers: BufferPool;

  constructor(file: FileHandle, size: number, buffers: BufferPool) {
    this.#file = file;
    this.size = size;
    this.#buffers = buffers;
  }

  async sendTo(sink: Writable, range: ByteRange = { start: 0, end: this.size }): Promise<void> {
    using outlet = new Outlet(sink);
    for (let position = range.start; position < range.end;) {
      position += await sendChunk(this.#file, outlet, this.#buffers, position, range.end);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function unlessMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Resolves to whether it was made. */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    // Not at once with `recursive`: Node 24 says ENOENT then where the file system is read-only.
    if (code !== 'ENOENT') throw error;
    await mkdir(path, { recursive: true });
  }
  return true;
}

/** A rename survives a power cut only once its directory is on stable storage. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
