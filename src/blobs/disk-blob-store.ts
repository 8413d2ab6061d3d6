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

  private constructor(root: string, buffers: BufferPool) {
    this.#root = join(root, LAYOUT);
    this.#buffers = buffers;
  }

  static async open(root: string, buffers: BufferPool): Promise<DiskBlobStore> {
    const store = new DiskBlobStore(root, buffers);
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
    try {
      const created = await mkdir(dirname(target), { recursive: true });
      await rename(file.path, target);
      await syncDirectory(dirname(target));
      if (created !== undefined) await syncDirectory(dirname(dirname(target)));
    } catch (error) {
      await rm(file.path, { force: true });
      throw error;
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
    const hex = hexOf(digest);
    return join(this.#root, algorithmOf(digest), hex.slice(0, 2), hex);
  }
}

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

/** A rename survives a power cut only once its directory is on stable storage. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
