/** Keeps small blobs in memory in front of a store: configs, and layers of a few lines, are asked for by every pull. */
import { Writable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { ByteRange } from '../lib/byte-range.ts';
import { Outlet } from '../lib/outlet.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobContent, BlobStat, BlobStore, VerifiedFile } from './blob-store.ts';

const MAX_BLOB_BYTES = 64 * 1024;
/** What an entry costs beside its bytes. */
const OVERHEAD_BYTES = 300;

export class HotBlobStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #hot: LRUCache<Digest, Buffer>;
  readonly #onDropped: (digest: Digest) => void;
  /** Counts deletions: bytes that were read before one are not put back after it. */
  #deletions = 0;

  /** @param onDropped told of each digest that is deleted, for whoever else keeps its bytes */
  constructor(store: BlobStore, maxBytes: number, onDropped: (digest: Digest) => void = () => undefined) {
    this.#store = store;
    this.#onDropped = onDropped;
    this.#hot = new LRUCache({
      maxSize: Math.max(1, Math.floor(maxBytes)),
      sizeCalculation: (bytes) => bytes.length + OVERHEAD_BYTES,
    });
  }

  async stat(digest: Digest): Promise<BlobStat | undefined> {
    return this.#store.stat(digest);
  }

  async open(digest: Digest): Promise<BlobContent | undefined> {
    const hot = this.#hot.get(digest);
    if (hot) return new MemoryContent(hot);
    const deletions = this.#deletions;
    const content = await this.#store.open(digest);
    if (content?.size === undefined || content.size > MAX_BLOB_BYTES) return content;
    try {
      const bytes = await read(content);
      if (deletions === this.#deletions) this.#hot.set(digest, bytes);
      return new MemoryContent(bytes);
    } finally {
      await content.close();
    }
  }

  async adopt(file: VerifiedFile): Promise<void> {
    await this.#store.adopt(file);
  }

  async delete(digest: Digest): Promise<boolean> {
    this.#drop(digest);
    try {
      return await this.#store.delete(digest);
    } finally {
      // Whoever opened it meanwhile has read what may be deleted because its bytes are wrong.
      this.#drop(digest);
    }
  }

  list(): AsyncIterable<BlobStat> {
    return this.#store.list();
  }

  async close(): Promise<void> {
    this.#hot.clear();
    await this.#store.close();
  }

  #drop(digest: Digest): void {
    this.#deletions += 1;
    this.#hot.delete(digest);
    this.#onDropped(digest);
  }
}

class MemoryContent implements BlobContent {
  readonly size: number;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.size = bytes.length;
    this.bytes = bytes;
  }

  async sendTo(sink: Writable, range?: ByteRange): Promise<void> {
    using outlet = new Outlet(sink);
    const bytes = this.bytes.subarray(range?.start, range?.end);
    if (bytes.length > 0) await outlet.write(bytes);
  }

  async close(): Promise<void> {
    // There is nothing to close.
  }
}

async function read(content: BlobContent): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await content.sendTo(
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(Buffer.from(chunk)); // The chunk's buffer is used again.
        done();
      },
    }),
  );
  return Buffer.concat(chunks);
}
