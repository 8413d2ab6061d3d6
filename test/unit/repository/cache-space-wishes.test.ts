import { describe, expect, it, vi } from 'vitest';
import { linksOf } from '../../../src/oci/manifest.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { imageOf } from '../metadata/content.ts';
import { cacheOf100Bytes, repository, type makeCache } from './small-cache.ts';

const blobOf = (digest: Digest) => ({ digest, size: 10 });

describe('CacheSpace with pins', () => {
  it('passes over what is pinned, however old, and tells of it', () =>
    cacheOf100Bytes(100, async ({ space, held, pinned, touched, digests }) => {
      pinned.set(digests[1]!, 10);
      expect(await space.reserve(10)).toBeDefined();
      expect(await held()).toEqual([1, 4, 5, 6, 7, 8, 9]);
      expect(touched).toEqual([digests[1]]);
    }));

  it('passes over more of it than is looked at once', () =>
    cacheOf100Bytes(350, async ({ space, metadata, held, pinned }) => {
      const old = Array.from({ length: 250 }, (_, n) => ({ digest: digestOf(Buffer.from(`${n}`)), size: 1 }));
      await metadata.recordFound(old, 1);
      for (const { digest } of old) pinned.set(digest, 1);
      expect(await space.reserve(30)).toBeDefined();
      expect(await held()).toEqual([]);
      expect((await metadata.totals()).blobs).toBe(250);
    }));

  it('says no, and evicts nothing, for what finds no room beside what is pinned or in use', () =>
    cacheOf100Bytes(100, async ({ space, use, held, pinned, digests }) => {
      for (const digest of digests.slice(4)) pinned.set(digest, 10);
      using _lease = await use(digests[3]!);
      // It is one of those that are pinned: nothing counts twice.
      using _other = await use(digests[4]!);
      expect(await space.reserve(31)).toBeUndefined();
      expect(await held()).toHaveLength(10);
      expect(await space.makeRoom(1e9 + 31)).toBe(false);
      expect(await held()).toHaveLength(10);
      expect(await space.reserve(30)).toBeDefined();
      expect(await held()).toEqual([3, 4, 5, 6, 7, 8, 9]);
    }));

  it('tells how many bytes are pinned and here', () =>
    cacheOf100Bytes(100, async ({ space, pinned, digests }) => {
      expect(await space.pinnedBytes()).toBe(0);
      pinned.set(digests[0]!, 10).set(digests[1]!, 0).set(digests[2]!, 7);
      expect(await space.pinnedBytes()).toBe(17);
    }));

  it('says no where nobody can tell what is pinned', () =>
    cacheOf100Bytes(100, async ({ space, metadata, held, errors }) => {
      vi.spyOn(metadata, 'totals').mockRejectedValueOnce(new Error('disk I/O error'));
      expect(await space.reserve(10)).toBeUndefined();
      expect([await held(), errors.length]).toEqual([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 1]);
    }));
});

describe('CacheSpace.evictNow', () => {
  it('evicts at least as many bytes, the least recently used first, however far the bound is', () =>
    cacheOf100Bytes(1000, async ({ space, held, pinned, digests }) => {
      pinned.set(digests[0]!, 10);
      const rounds: unknown[] = [];
      const report = await space.evictNow(25, undefined, (soFar) => rounds.push(soFar));
      expect(report).toEqual({ blobs: 3, manifests: 0, bytes: 30 });
      expect(rounds).toEqual([report]);
      expect(await held()).toEqual([0, 4, 5, 6, 7, 8, 9]);
    }));

  it('evicts down to the low-water mark where no number is given', () =>
    cacheOf100Bytes(100, async ({ space, held }) => {
      expect(await space.evictNow(undefined)).toEqual({ blobs: 2, manifests: 0, bytes: 20 });
      expect(await space.evictNow(undefined)).toEqual({ blobs: 0, manifests: 0, bytes: 0 });
      expect(await held()).toHaveLength(8);
    }));

  it('takes what was cut short first, and counts it', () =>
    cacheOf100Bytes(1000, async ({ space, held, parked }) => {
      parked.bytes = 15;
      expect(await space.evictNow(25)).toEqual({ blobs: 1, manifests: 0, bytes: 25 });
      expect([parked.bytes, (await held()).length]).toEqual([0, 9]);
    }));

  it('ends where nothing more can go', () =>
    cacheOf100Bytes(1000, async ({ space, held, use, digests }) => {
      using _lease = await use(digests[3]!);
      expect(await space.evictNow(5000)).toEqual({ blobs: 9, manifests: 0, bytes: 90 });
      expect(await held()).toEqual([3]);
    }));

  it('works in rounds, between which it may be told to end', () =>
    cacheOf100Bytes(10_000, async ({ space, metadata }) => {
      const old = Array.from({ length: 1500 }, (_, n) => ({
        digest: digestOf(Buffer.from(`${n}`)),
        size: 1,
      }));
      await metadata.recordFound(old, 1);
      const abort = new AbortController();
      const report = await space.evictNow(1400, abort.signal, () => abort.abort());
      expect(report).toEqual({ blobs: 1000, manifests: 0, bytes: 1000 });
    }));
});

describe('CacheSpace.remove', () => {
  it('deletes rows and files of what no repository holds, and nothing else', () =>
    cacheOf100Bytes(100, async ({ space, metadata, held, digests }) => {
      const other = { ...repository, upstream: 'quay.io' };
      for (const digest of digests.slice(0, 2)) await metadata.linkBlob(other, blobOf(digest));
      const image = imageOf([blobOf(digests[2]!)]);
      await metadata.saveManifest(other, image, linksOf(image));
      const purged = await metadata.purge(repository, 'all');
      expect(purged?.unheld).toHaveLength(8);
      // One that somebody pulled again meanwhile.
      await metadata.linkBlob(repository, blobOf(digests[9]!));

      const removed = await space.remove(purged!.unheld);

      expect(removed).toMatchObject({ blobs: 7, bytes: 70, inUse: { blobs: 0, bytes: 0 } });
      expect(await held()).toEqual([0, 1, 9]);
      expect((await metadata.totals()).blobs).toBe(3);
      expect(await metadata.findManifest(other, image.descriptor.digest)).toBeDefined();
    }));

  it('leaves what is in use, and tells how much that is', () =>
    cacheOf100Bytes(100, async ({ space, metadata, held, use, digests }) => {
      await metadata.purge(repository, 'all');
      using _lease = await use(digests[4]!);
      expect(await space.remove(digests.map(blobOf))).toMatchObject({
        ...{ blobs: 9, bytes: 90 },
        inUse: { blobs: 1, bytes: 10 },
      });
      expect(await held()).toEqual([4]);
      expect((await metadata.totals()).blobs).toBe(1);
    }));

  it('is over what is gone already without a word', () =>
    cacheOf100Bytes(100, async ({ space, metadata, digests }) => {
      const unheld = (await metadata.purge(repository, 'all'))!.unheld;
      await metadata.evict({ kind: 'blob', digest: digests[0]! });
      expect(await space.remove(unheld)).toMatchObject({ blobs: 9 });
      expect(await space.remove(unheld)).toMatchObject({ blobs: 0, inUse: { blobs: 0 } });
    }));

  it('takes all that can go where some can not, which still counts, and then says so', () =>
    cacheOf100Bytes(100, async ({ space, metadata, blobs, held, digests }) => {
      await metadata.purge(repository, 'all');
      const failure = new Error('EIO');
      const remove = blobs.delete.bind(blobs);
      vi.spyOn(blobs, 'delete').mockImplementation((digest) =>
        digest === digests[3] ? Promise.reject(failure) : remove(digest),
      );
      const removing = space.remove(digests.map(blobOf));
      await expect(removing).rejects.toMatchObject({ message: "1 of them can't be removed", cause: failure });
      expect(await held()).toEqual([3]);
      expect(await metadata.totals()).toMatchObject({ blobs: 1, blobBytes: 10 });
    }));
});

describe('CacheSpace.clear', () => {
  it('takes all that nobody uses, what is pinned and what was cut short too', () =>
    cacheOf100Bytes(100, async ({ space, metadata, held, use, pinned, parked, digests }) => {
      const image = imageOf([blobOf(digests[2]!)]);
      await metadata.saveManifest(repository, image, linksOf(image));
      pinned.set(digests[0]!, 10);
      parked.bytes = 7;
      using _lease = await use(digests[5]!);
      expect(await space.clear()).toEqual({
        ...{ blobs: 9, manifests: 1, bytes: 97 + image.descriptor.size },
        inUse: { blobs: 1, bytes: 10 },
      });
      expect(await held()).toEqual([5]);
      expect(await metadata.totals()).toMatchObject({ blobs: 1, manifests: 0 });
    }));

  /** So many more, and what to do when the first of them goes. */
  async function withMany({ metadata }: Awaited<ReturnType<typeof makeCache>>, atFirst: () => void) {
    const many = Array.from({ length: 1500 }, (_, n) => ({
      digest: digestOf(Buffer.from(`${n}`)),
      size: 1,
    }));
    await metadata.recordFound(many, 1);
    const evict = metadata.evict.bind(metadata);
    vi.spyOn(metadata, 'evict').mockImplementationOnce((candidate) => {
      atFirst();
      return evict(candidate);
    });
  }

  it('works in rounds, between which others reserve', () =>
    cacheOf100Bytes(10_000, async (cache) => {
      const order: string[] = [];
      await withMany(cache, () => void cache.space.reserve(1).then(() => order.push('reserved')));
      expect(await cache.space.clear()).toMatchObject({ blobs: 1510 });
      expect(order).toEqual(['reserved']);
    }));

  it('ends after the round in which it is told to', () =>
    cacheOf100Bytes(10_000, async (cache) => {
      const abort = new AbortController();
      await withMany(cache, () => abort.abort());
      expect(await cache.space.clear(abort.signal)).toMatchObject({ blobs: 1000 });
      expect((await cache.metadata.totals()).blobs).toBe(510);
    }));

  it('takes all that can go where some can not, and then says so', () =>
    cacheOf100Bytes(100, async ({ space, blobs, held, digests }) => {
      const remove = blobs.delete.bind(blobs);
      vi.spyOn(blobs, 'delete').mockImplementation((digest) =>
        digest === digests[3] ? Promise.reject(new Error('EIO')) : remove(digest),
      );
      await expect(space.clear()).rejects.toThrow("1 of them can't be removed");
      expect(await held()).toEqual([3]);
    }));
});
