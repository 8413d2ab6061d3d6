import { describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { cacheOf100Bytes, type makeCache } from './small-cache.ts';

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
    cacheOf100Bytes(100, async ({ space, use, digests }) => {
      const inUse = await Promise.all(digests.map(use));
      expect(await space.reserve(10)).toBeUndefined();
      for (const lease of inUse) lease[Symbol.dispose]();
      expect(await space.reserve(10)).toBeDefined();
    }));

  it('says no, and evicts nothing, for what finds no room beside what is in use', () =>
    cacheOf100Bytes(100, async ({ space, use, digests, held, evictions }) => {
      const inUse = await Promise.all(digests.slice(5).map(use));
      expect(await space.reserve(51)).toBeUndefined();
      expect([await held(), evictions]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], []]);
      expect(await space.reserve(50)).toBeDefined();
      expect(await held()).toEqual([5, 6, 7, 8, 9]);
      for (const lease of inUse) lease[Symbol.dispose]();
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

describe('CacheSpace with very many blobs', () => {
  /** As many blobs of one byte as wanted besides, all older than the ten. */
  async function addSmall({ metadata }: Awaited<ReturnType<typeof makeCache>>, count: number) {
    const small = Array.from({ length: count }, (_, n) => ({
      digest: digestOf(Buffer.from(`${n}`)),
      size: 1,
    }));
    await metadata.recordFound(small, 1);
  }
  const blobsOf = async ({ metadata }: Awaited<ReturnType<typeof makeCache>>) =>
    (await metadata.totals()).blobs;

  it('lets nobody wait until the low-water mark is reached, and goes on with the next', () =>
    cacheOf100Bytes(1100, async (cache) => {
      await addSmall(cache, 1000);
      expect(await cache.space.reserve(50)).toBeDefined();
      expect(await blobsOf(cache)).toBe(1010 - 50 - 100);
      expect(await cache.space.reserve(100)).toBeDefined();
      expect(await blobsOf(cache)).toBe(1010 - 50 - 100);
      expect(await cache.space.reserve(20)).toBeDefined();
      // Down to the mark of 880 bytes it would have been 150 more.
      expect(await blobsOf(cache)).toBe(1010 - 50 - 100 - 20 - 100);
    }));

  it('says no to what would take too many of them, and yes when it comes again', () =>
    cacheOf100Bytes(1600, async (cache) => {
      await addSmall(cache, 1500);
      expect(await cache.space.reserve(1200)).toBeUndefined();
      expect(await blobsOf(cache)).toBe(1510 - 1000);
      expect(await cache.space.reserve(1200)).toBeDefined();
    }));

  it('trims in rounds, between which others reserve', () =>
    cacheOf100Bytes(10_000, async (cache) => {
      await addSmall(cache, 2500);
      cache.limits.bytes = 200;
      const order: string[] = [];
      const trimmed = cache.space.trim().then((report) => (order.push('trimmed'), report));
      const reserved = cache.space.reserve(10).then(() => order.push('reserved'));
      expect(await trimmed).toMatchObject({ bytes: expect.any(Number) as number });
      await reserved;
      expect(order).toEqual(['reserved', 'trimmed']);
      expect((await cache.space.usage()).used).toBeLessThanOrEqual(160);
    }));

  it('ends a trim after the round in which it is told to', () =>
    cacheOf100Bytes(10_000, async (cache) => {
      await addSmall(cache, 2500);
      cache.limits.bytes = 200;
      const abort = new AbortController();
      const trimmed = cache.space.trim(abort.signal);
      abort.abort();
      expect(await trimmed).toMatchObject({ blobs: 1000 });
      expect(await cache.space.trim(abort.signal)).toMatchObject({ blobs: 0 });
    }));
});

describe('CacheSpace with downloads that were cut short', () => {
  it('counts what is kept of them as used', () =>
    cacheOf100Bytes(200, async ({ space, parked, held }) => {
      parked.bytes = 60;
      expect(await space.usage()).toMatchObject({ used: 160 });
      expect(await space.reserve(40)).toBeDefined();
      expect([parked.bytes, (await held()).length]).toEqual([60, 10]);
    }));

  it('lets them go first, and what is cached only where that is not enough', () =>
    cacheOf100Bytes(120, async ({ space, parked, held, evictions }) => {
      parked.bytes = 20;
      expect(await space.reserve(15)).toBeDefined();
      expect([parked.bytes, await held()]).toEqual([0, [2, 3, 4, 5, 6, 7, 8, 9]]);
      // What was evicted is told; what was never whole is not among it.
      expect(evictions).toMatchObject([{ blobs: 2, bytes: 20 }]);
    }));

  it('evicts nothing where they were enough', () =>
    cacheOf100Bytes(200, async ({ space, parked, held, evictions }) => {
      parked.bytes = 100;
      expect(await space.reserve(30)).toBeDefined();
      expect([parked.bytes, (await held()).length, evictions]).toEqual([30, 10, []]);
    }));
});

describe('CacheSpace on a disk that fails', () => {
  const full = () => Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });

  it('passes over what can not be deleted, which still counts, and evicts the others', () =>
    cacheOf100Bytes(100, async ({ space, blobs, digests, held, errors, metadata }) => {
      const remove = blobs.delete.bind(blobs);
      const failure = new Error('EIO');
      vi.spyOn(blobs, 'delete').mockImplementation((digest) =>
        digest === digests[0] ? Promise.reject(failure) : remove(digest),
      );
      expect(await space.reserve(10)).toBeDefined();
      expect(await held()).toEqual([0, 4, 5, 6, 7, 8, 9]);
      expect(await metadata.totals()).toMatchObject({ blobs: 7, blobBytes: 70 });
      expect(errors).toEqual([failure]);
    }));

  it('deletes files first where the index has no room to take their rows out', () =>
    cacheOf100Bytes(100, async ({ space, blobs, metadata, held, disk, errors }) => {
      disk.freeBytes = 0;
      const evict = metadata.evict.bind(metadata);
      const remove = blobs.delete.bind(blobs);
      vi.spyOn(metadata, 'evict').mockImplementation((candidate) =>
        disk.freeBytes === 0 ? Promise.reject(full()) : evict(candidate),
      );
      vi.spyOn(blobs, 'delete').mockImplementation((digest) => {
        disk.freeBytes += 10;
        return remove(digest);
      });
      expect(await space.reserve(10)).toBeDefined();
      expect(await held()).toEqual([3, 4, 5, 6, 7, 8, 9]);
      expect(await metadata.totals()).toMatchObject({ blobs: 7 });
      expect(errors).toEqual([]);
    }));

  it('deletes no file for an index that is broken on a disk with room, and says so once', () =>
    cacheOf100Bytes(100, async ({ space, metadata, held, errors }) => {
      const failure = Object.assign(new Error('database disk image is malformed'), {
        code: 'SQLITE_CORRUPT',
      });
      vi.spyOn(metadata, 'evict').mockRejectedValue(failure);
      expect(await space.reserve(10)).toBeUndefined();
      expect(await held()).toHaveLength(10);
      expect(errors).toEqual([failure]);
    }));

  it('gives up after some that can not go, however many there are', () =>
    cacheOf100Bytes(1000, async ({ space, metadata, limits, errors }) => {
      const more = Array.from({ length: 90 }, (_, index) => ({
        digest: digestOf(Buffer.from(`more ${index}`)),
        size: 10,
      }));
      await metadata.recordFound(more, 99_000);
      const evict = vi.spyOn(metadata, 'evict').mockRejectedValue(new Error('the index can not be written'));
      limits.bytes = 100;
      expect(await space.trim()).toMatchObject({ blobs: 0, bytes: 0 });
      expect(evict.mock.calls.length).toBeLessThan(50);
      expect(errors).toHaveLength(1);
    }));

  it('says no at once where the index can not even be read', () =>
    cacheOf100Bytes(100, async ({ space, metadata, held, errors }) => {
      const failure = new Error('disk I/O error');
      vi.spyOn(metadata, 'leastRecentlyUsed').mockRejectedValue(failure);
      expect(await space.reserve(10)).toBeUndefined();
      vi.spyOn(metadata, 'totals').mockRejectedValue(failure);
      expect(await space.reserve(1)).toBeUndefined();
      expect(errors).toEqual([failure, failure]);
      vi.restoreAllMocks();
      // Whoever comes after that is not held up by it.
      expect(await space.reserve(10)).toBeDefined();
      expect(await held()).toHaveLength(7);
    }));

  it('evicts although the last uses can not be written down', () =>
    cacheOf100Bytes(100, async ({ space, held, flush, errors }) => {
      const failure = full();
      flush.run = () => Promise.reject(failure);
      expect(await space.reserve(10)).toBeDefined();
      expect(await held()).toEqual([3, 4, 5, 6, 7, 8, 9]);
      expect(errors).toEqual([failure]);
    }));
});

describe('CacheSpace.makeRoom', () => {
  /** A disk of 120 bytes, on which somebody else has `foreign`. */
  function onDisk({ disk, blobs }: Awaited<ReturnType<typeof makeCache>>, foreign: number): void {
    disk.freeBytes = Math.max(0, 20 - foreign);
    const remove = blobs.delete.bind(blobs);
    vi.spyOn(blobs, 'delete').mockImplementation((digest) => {
      disk.freeBytes += 10;
      return remove(digest);
    });
  }

  it('evicts nothing while that many bytes are free', () =>
    cacheOf100Bytes(1000, async (cache) => {
      onDisk(cache, 0);
      expect(await cache.space.makeRoom(20)).toBe(true);
      expect(await cache.held()).toHaveLength(10);
    }));

  it('evicts what is missing on the disk, though the bound is far', () =>
    cacheOf100Bytes(1000, async (cache) => {
      onDisk(cache, 15);
      expect(await cache.space.makeRoom(20)).toBe(true);
      expect(await cache.held()).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    }));

  it('says no, and evicts nothing, for more than can go', () =>
    cacheOf100Bytes(1000, async (cache) => {
      onDisk(cache, 20);
      using _lease = await cache.use(cache.digests[9]!);
      expect(await cache.space.makeRoom(91)).toBe(false);
      expect(await cache.held()).toHaveLength(10);
      expect(await cache.space.makeRoom(90)).toBe(true);
      expect(await cache.held()).toEqual([9]);
    }));

  it('says no where what went gave the disk nothing', () =>
    cacheOf100Bytes(1000, async ({ space, disk }) => {
      disk.freeBytes = 0;
      expect(await space.makeRoom(10)).toBe(false);
    }));
});
