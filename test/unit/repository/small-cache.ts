/** A cache of ten small blobs on a real index, for the tests of how it is kept within its bound. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/reference.ts';
import { BlobLeases } from '../../../src/repository/blob-leases.ts';
import { CacheSpace, type EvictionReport } from '../../../src/repository/cache-space.ts';
import { MemoryBlobStore } from '../../support/memory-blob-store.ts';
import { tempDir } from '../../support/temp-dir.ts';

export const repository = { upstream: 'docker.io', name: parseRepositoryName('library/alpine') };

/** A cache of ten blobs of ten bytes, the first the oldest, that may have `limit` bytes. */
export async function cacheOf100Bytes(
  limit: number,
  use: (cache: Awaited<ReturnType<typeof makeCache>>) => Promise<void>,
) {
  await using directory = await tempDir();
  const cache = await makeCache(directory.path, limit);
  await use(cache);
  await cache.metadata.close();
}

export async function makeCache(directory: string, limit: number) {
  let now = 1000;
  const { store: metadata } = openSqliteMetadataStore({
    path: join(directory, 'index.sqlite'),
    clock: () => now,
  });
  const blobs = new MemoryBlobStore();
  const leases = new BlobLeases();
  const digests: Digest[] = [];
  await mkdir(join(directory, 'incoming'));
  for (let index = 0; index < 10; index += 1) {
    const bytes = Buffer.from(`blob ${index}....`.slice(0, 10));
    const digest = digestOf(bytes);
    const path = join(directory, 'incoming', String(index));
    await writeFile(path, bytes);
    await blobs.adopt({ digest, size: 10, path });
    now += 1000;
    await metadata.linkBlob(repository, { digest, size: 10 });
    digests.push(digest);
  }
  const evictions: EvictionReport[] = [];
  const errors: Error[] = [];
  const limits = { bytes: limit };
  const disk = { freeBytes: 1e9 };
  const parked = { bytes: 0 };
  const flush = { run: () => Promise.resolve() };
  const leased = new Set<Digest>();
  const pinned = new Map<Digest, number>();
  const touched: Digest[] = [];
  const space = new CacheSpace({
    metadata,
    blobs,
    leases,
    lowWater: 0.8,
    leased: () => leased,
    pinned: () => Promise.resolve(pinned),
    touch: (digest) => void touched.push(digest),
    partials: {
      bytes: () => parked.bytes,
      drop: (bytes) => {
        const dropped = Math.min(bytes, parked.bytes);
        parked.bytes -= dropped;
        return Promise.resolve(dropped);
      },
    },
    limit: () => Promise.resolve(limits.bytes),
    freeBytes: () => Promise.resolve(disk.freeBytes),
    flushAccess: () => flush.run(),
    onEvicted: (evicted) => void evictions.push(evicted),
    onError: (error) => void errors.push(error),
  });
  /** As a reader does. */
  const use = async (digest: Digest): Promise<Disposable> => {
    const lease = await leases.share(digest);
    leased.add(digest);
    return {
      [Symbol.dispose]: () => {
        leased.delete(digest);
        lease[Symbol.dispose]();
      },
    };
  };
  const held = async () => {
    const present = await Promise.all(digests.map((digest) => blobs.stat(digest)));
    return present.flatMap((stat, index) => (stat ? [index] : []));
  };
  return {
    ...{ space, metadata, blobs, leases, digests, use, held },
    ...{ evictions, errors, limits, disk, parked, flush, pinned, touched },
  };
}
