/** A BlobStore in memory, which passes the same contract as the one on disk. */
import { readFile, rm } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import type { BlobContent, BlobStat, BlobStore, VerifiedFile } from '../../src/blobs/blob-store.ts';
import type { ByteRange } from '../../src/lib/byte-range.ts';
import { Outlet } from '../../src/lib/outlet.ts';
import type { Digest } from '../../src/oci/digest.ts';

export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<Digest, Buffer>();

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    const bytes = this.#blobs.get(digest);
    return Promise.resolve(bytes && { digest, size: bytes.length });
  }

  async open(digest: Digest): Promise<BlobContent | undefined> {
    const bytes = this.#blobs.get(digest);
    if (!bytes) return Promise.resolve(undefined);
    return Promise.resolve({
      size: bytes.length,
      sendTo: async (sink: Writable, range?: ByteRange) => {
        using outlet = new Outlet(sink);
        await outlet.write(bytes.subarray(range?.start, range?.end));
      },
      close: () => Promise.resolve(),
    });
  }

  async adopt(file: VerifiedFile): Promise<void> {
    this.#blobs.set(file.digest, await readFile(file.path));
    await rm(file.path);
  }

  async delete(digest: Digest): Promise<boolean> {
    return Promise.resolve(this.#blobs.delete(digest));
  }

  async *list(): AsyncIterable<BlobStat> {
    for (const [digest, { length: size }] of this.#blobs) yield await Promise.resolve({ digest, size });
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}
