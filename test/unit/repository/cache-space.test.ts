import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/reference.ts';
import { BlobLeases } from '../../../src/repository/blob-leases.ts';
import { CacheSpace, type EvictionReport } from '../../../src/repository/cache-space.ts';
import { MemoryBlobStore } from '../../support/memory-blob-store.ts';
import { tempDir } from '../../support/temp-dir.ts';

const repository = { upstream: 'docker.io', name: parseRepositoryName('library/alpine') };

/** A cache of ten blobs of ten bytes, the first the oldest, that may have `limit` bytes. */
async function cacheOf100Bytes(
  limit: number,
  use: (cache: Awaited<ReturnType<typeof makeCache>>) => Promise<void>,
) {
  await using directory = await tempDir();
  const cache = await makeCache(directory.path, limit);
  await use(cache);
  await cache.metadata.close();
}

async function makeCache(directory: string, limit: number) {
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
  const limits = { bytes: limit };
  const space = new CacheSpace({
    metadata,
    blobs,
    leases,
    lowWater: 0.8,
    limit: () => Promise.resolve(limits.bytes),
    flushAccess: () => Promise.resolve(),
    onEvicted: (evicted) => void evictions.push(evicted),
  });
  const held = async () => {
    const present = await Promise.all(digests.map((digest) => blobs.stat(digest)));
    return present.flatMap((stat, index) => (stat ? [index] : []));
  };
  return { space, metadata, leases, digests, evictions, limits, held };
}

describe('CacheSpace', () => {
  it('reserves without evicting while there is room, and counts what is reserved', () =>
    cacheOf100Bytes(130, async ({ space, held, evictions }) => {
      const first = await space.reserve(20);
      expect(first).toBeDefined();
      expect(await space.usage()).toEqual({ used: 100, reserved: 20, limit: 130 });
      expect(await held()).toHaveLength(10);
      first?.[Symbol.dispose]();
      first?.[Symbol.dispose]();
      expect((await space.usage()).reserved).toBe(0);
      expect(evictions).toEqual([]);
    }));

  it('makes room down to the low-water mark, the least recently used first', () =>
    cacheOf100Bytes(100, async ({ space, held, evictions }) => {
      expect(await space.reserve(10)).toBeDefined();
      expect(await held()).toEqual([3, 4, 5, 6, 7, 8, 9]);
      expect(evictions).toMatchObject([{ blobs: 3, bytes: 30 }]);
    }));

  it('passes over what is in use, however old', () =>
    cacheOf100Bytes(100, async ({ space, held, leases, digests }) => {
      using _lease = await leases.share(digests[1]!);
      await space.reserve(10);
      expect(await held()).toEqual([1, 4, 5, 6, 7, 8, 9]);
    }));

  it('says no, and evicts nothing, for what is larger than the whole cache', () =>
    cacheOf100Bytes(100, async ({ space, held }) => {
      expect(await space.reserve(101)).toBeUndefined();
      expect(await held()).toHaveLength(10);
      expect(await space.reserve(100)).toBeDefined();
      expect(await held()).toEqual([]);
    }));

  it('says no when all that could go is in use', () =>
    cacheOf100Bytes(100, async ({ space, leases, digests }) => {
      const inUse = await Promise.all(digests.map((digest) => leases.share(digest)));
      expect(await space.reserve(10)).toBeUndefined();
      for (const lease of inUse) lease[Symbol.dispose]();
      expect(await space.reserve(10)).toBeDefined();
    }));

  it('never promises the same room twice to those who ask at once', () =>
    cacheOf100Bytes(200, async ({ space, held }) => {
      const reservations = await Promise.all(Array.from({ length: 10 }, () => space.reserve(50)));
      expect(reservations.filter(Boolean)).toHaveLength(4);
      expect(await space.usage()).toMatchObject({ reserved: 200 });
      expect(await held()).toEqual([]);
    }));

  it('lets a reservation grow as far as there is room', () =>
    cacheOf100Bytes(150, async ({ space, held }) => {
      const reservation = await space.reserve(10);
      expect(await reservation?.growTo(40)).toBe(true);
      expect(await reservation?.growTo(30)).toBe(true);
      expect((await space.usage()).reserved).toBe(40);
      expect(await reservation?.growTo(151)).toBe(false);
      expect(await held()).toHaveLength(10);
      reservation?.[Symbol.dispose]();
      expect((await space.usage()).reserved).toBe(0);
    }));

  it('trims to the low-water mark when the bound has shrunk, and otherwise leaves all as it is', () =>
    cacheOf100Bytes(100, async ({ space, held, limits }) => {
      expect(await space.trim()).toMatchObject({ blobs: 0 });
      limits.bytes = 50;
      expect(await space.trim()).toMatchObject({ blobs: 6, bytes: 60 });
      expect(await held()).toEqual([6, 7, 8, 9]);
    }));
});
