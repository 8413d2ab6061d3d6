/** What every MetadataStore promises of much at once: all of it is done, and others get their turn meanwhile. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MetadataStore } from '../../src/metadata/metadata-store.ts';
import {
  blobOf,
  digest,
  imageOf,
  indexOf,
  link,
  manyBlobs,
  repositoryKey,
  save,
  tagRecord,
} from '../unit/metadata/content.ts';
import type { MetadataStoreHarness } from './metadata-store.contract.ts';

const ALPINE = repositoryKey('library/alpine');

/** How often others got their turn while it ran. */
async function withOthers<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly turns: number }> {
  let turns = 0;
  const turn = () => {
    turns += 1;
    others = setImmediate(turn);
  };
  let others = setImmediate(turn);
  try {
    const result = await work();
    return { result, turns };
  } finally {
    clearImmediate(others);
  }
}

/** @param open gives an empty store that takes the time from `clock` */
export function metadataStoreScaleContract(
  name: string,
  open: (clock: () => number) => Promise<MetadataStoreHarness>,
): void {
  describe(`${name} as a MetadataStore of much`, () => {
    let harness: MetadataStoreHarness;
    let store: MetadataStore;
    beforeEach(async () => {
      harness = await open(() => 1000);
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    it('lists all tags, however many, and others work meanwhile', async () => {
      const names = Array.from({ length: 1300 }, (_, n) => `v${n}`);
      for (const name of names) await store.saveTag(ALPINE, tagRecord(name, imageOf([])));
      const { result, turns } = await withOthers(() => store.listTags(ALPINE));
      expect(result).toEqual(names.sort());
      expect(turns).toBeGreaterThan(1);
    });

    it('lists all referrers, however many, and others work meanwhile', async () => {
      const image = imageOf([]);
      const signatures = Array.from({ length: 130 }, (_, n) =>
        imageOf([], { note: String(n), subject: image }),
      );
      await save(store, ALPINE, ...signatures);
      const { result, turns } = await withOthers(() => store.listReferrers(ALPINE, digest(image)));
      expect(result.map(digest)).toEqual(signatures.map(digest).sort());
      expect(turns).toBeGreaterThan(1);
    });

    it('lists the few repositories that hold something among many that do not, and lets others work meanwhile', async () => {
      const name = (n: number) => `repository-${String(n).padStart(4, '0')}`;
      for (let n = 0; n < 450; n += 1) await link(store, repositoryKey(name(n)), blobOf('shared'));
      await store.forgetBlob(blobOf('shared').digest);
      for (const n of [7, 301, 449]) await link(store, repositoryKey(name(n)), blobOf('kept'));

      const { result, turns } = await withOthers(() => store.listRepositories('docker.io', undefined, 10));
      expect(result).toEqual([name(7), name(301), name(449)]);
      expect(turns).toBeGreaterThan(1);
      expect(await store.listRepositories('docker.io', name(7), 1)).toEqual([name(301)]);
      expect(await store.listRepositories('docker.io', name(449), 10)).toEqual([]);
    });

    it('forgets a blob in every one of very many repositories', async () => {
      const layer = blobOf('layer');
      const keys = Array.from({ length: 120 }, (_, n) => repositoryKey(`repository-${n}`));
      for (const key of keys) await link(store, key, layer);
      expect(await store.forgetBlob(layer.digest)).toBe(true);
      expect(await store.listRepositories('docker.io', undefined, 1000)).toEqual([]);
      expect(await store.totals()).toMatchObject({ blobs: 0, blobBytes: 0 });
      expect(await store.forgetBlob(layer.digest)).toBe(false);
    });

    it('notes the use of many and passes over what is not known, and lets others work meanwhile', async () => {
      const blobs = [...manyBlobs(1000)];
      await store.recordFound(blobs, 1);
      const used = [blobOf('unknown').digest, ...blobs.map(digest)];
      const { turns } = await withOthers(() => store.recordAccess(used, 2));
      expect(turns).toBeGreaterThan(5);
      const usedAt = new Set((await store.leastRecentlyUsed(1000)).map((candidate) => candidate.usedAt));
      expect([...usedAt]).toEqual([2]);
    });

    it('evicts a layer that very many images stand on, and lets others work meanwhile', async () => {
      const layer = blobOf('layer');
      const images = Array.from({ length: 100 }, (_, n) => imageOf([layer], { note: String(n) }));
      const other = imageOf([blobOf('other')]);
      const indexes = images.map((image, n) => indexOf([image], String(n)));
      await link(store, ALPINE, layer, blobOf('other'));
      await save(store, ALPINE, ...images, ...indexes, other);

      const { result, turns } = await withOthers(() => store.evict({ kind: 'blob', digest: layer.digest }));

      expect([...result.manifests].sort()).toEqual([...images, ...indexes].map(digest).sort());
      expect(result.manifestBytes).toBe(
        [...images, ...indexes].reduce((sum, { descriptor }) => sum + descriptor.size, 0),
      );
      expect(turns).toBeGreaterThan(5);
      const left = await store.leastRecentlyUsed(1000);
      expect(left.map((candidate) => candidate.digest)).toEqual(
        [blobOf('other').digest, digest(other)].sort(),
      );
      expect(await store.findBlob(ALPINE, layer.digest)).toBeUndefined();
    });
  });
}
