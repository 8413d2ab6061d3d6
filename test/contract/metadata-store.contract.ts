/** What every MetadataStore promises. Reads come before and after each write, so that a cache is tested by it too. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MetadataStore } from '../../src/metadata/metadata-store.ts';
import {
  blobOf,
  collect,
  digest,
  imageOf,
  indexOf,
  link,
  manyBlobs,
  repositoryKey,
  save,
  tagOf,
  tagRecord,
} from '../unit/metadata/content.ts';

export interface MetadataStoreHarness {
  readonly store: MetadataStore;
  readonly dispose: () => Promise<void>;
}

const ALPINE = repositoryKey('library/alpine');
const DEBIAN = repositoryKey('library/debian');
const ALPINE_ELSEWHERE = repositoryKey('library/alpine', 'quay.io');
const NOTHING = { blobs: 0, blobBytes: 0, manifests: 0, manifestBytes: 0 };

/** @param open gives an empty store that takes the time from `clock` */
export function metadataStoreContract(
  name: string,
  open: (clock: () => number) => Promise<MetadataStoreHarness>,
): void {
  describe(`${name} as a MetadataStore`, () => {
    let now: number;
    let harness: MetadataStoreHarness;
    let store: MetadataStore;
    beforeEach(async () => {
      now = 1000;
      harness = await open(() => now);
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    /** The digests of all candidates. */
    const oldestFirst = async () => {
      const candidates = await store.leastRecentlyUsed(1000);
      return candidates.map((candidate) => candidate.digest);
    };

    describe('tags', () => {
      const image = imageOf([blobOf('layer')]);
      const other = imageOf([blobOf('layer')], { algorithm: 'sha512' });

      it('keep the descriptor that they point to, although its manifest is not held', async () => {
        expect(await store.findTag(ALPINE, tagOf('3'))).toBeUndefined();
        await store.saveTag(ALPINE, tagRecord('3', image, 5));
        expect(await store.findTag(ALPINE, tagOf('3'))).toEqual(tagRecord('3', image, 5));
        expect(await store.findManifest(ALPINE, digest(image))).toBeUndefined();
      });

      it('move, and are checked again', async () => {
        await store.saveTag(ALPINE, tagRecord('3', image, 5));
        expect(await store.findTag(ALPINE, tagOf('3'))).toEqual(tagRecord('3', image, 5));
        await store.saveTag(ALPINE, tagRecord('3', image, 6));
        expect(await store.findTag(ALPINE, tagOf('3'))).toEqual(tagRecord('3', image, 6));
        await store.saveTag(ALPINE, tagRecord('3', other, 7));
        expect(await store.findTag(ALPINE, tagOf('3'))).toEqual(tagRecord('3', other, 7));
        expect(await store.listTags(ALPINE)).toEqual(['3']);
      });

      it('are those of one repository of one upstream', async () => {
        await store.saveTag(ALPINE, tagRecord('3', image));
        expect(await store.findTag(DEBIAN, tagOf('3'))).toBeUndefined();
        expect(await store.findTag(ALPINE_ELSEWHERE, tagOf('3'))).toBeUndefined();
        expect(await store.listTags(ALPINE_ELSEWHERE)).toEqual([]);
      });

      it('are forgotten one by one', async () => {
        await store.saveTag(ALPINE, tagRecord('3', image));
        await store.saveTag(ALPINE, tagRecord('4', image));
        await store.findTag(ALPINE, tagOf('3'));
        expect(await store.forgetTag(ALPINE, tagOf('3'))).toBe(true);
        expect(await store.findTag(ALPINE, tagOf('3'))).toBeUndefined();
        expect(await store.forgetTag(ALPINE, tagOf('3'))).toBe(false);
        expect(await store.listTags(ALPINE)).toEqual(['4']);
      });

      it('are listed in the order of their bytes', async () => {
        for (const tag of ['a', '_', 'B', '10', '9', 'a.b', 'a-b']) {
          await store.saveTag(ALPINE, tagRecord(tag, image));
        }
        expect(await store.listTags(ALPINE)).toEqual(['10', '9', 'B', '_', 'a', 'a-b', 'a.b']);
      });
    });

    describe('manifests', () => {
      const image = imageOf([blobOf('layer')]);

      it('come back with the bytes that they came with', async () => {
        expect(await store.findManifest(ALPINE, digest(image))).toBeUndefined();
        await save(store, ALPINE, image);
        for (let times = 0; times < 2; times++) {
          const found = await store.findManifest(ALPINE, digest(image));
          expect(found?.descriptor).toEqual(image.descriptor);
          expect(Buffer.from(found!.bytes)).toEqual(image.bytes);
        }
      });

      it('may have a sha512 digest', async () => {
        const long = imageOf([], { algorithm: 'sha512' });
        await save(store, ALPINE, long);
        expect((await store.findManifest(ALPINE, digest(long)))?.descriptor).toEqual(long.descriptor);
      });

      it('are found only in a repository that was shown to hold them', async () => {
        await save(store, ALPINE, image);
        expect(await store.findManifest(DEBIAN, digest(image))).toBeUndefined();
        expect(await store.findManifest(ALPINE_ELSEWHERE, digest(image))).toBeUndefined();
        expect(await store.findManifestAnywhere(digest(image))).toEqual(image.descriptor);

        await store.linkManifest(DEBIAN, digest(image));
        expect((await store.findManifest(DEBIAN, digest(image)))?.descriptor).toEqual(image.descriptor);
      });

      it('that are not known are not linked', async () => {
        await store.linkManifest(DEBIAN, digest(image));
        expect(await store.findManifest(DEBIAN, digest(image))).toBeUndefined();
        expect(await store.findManifestAnywhere(digest(image))).toBeUndefined();
        expect(await store.listRepositories('docker.io', undefined, 10)).toEqual([]);
      });

      it('are counted once, however often they are saved', async () => {
        await save(store, ALPINE, image, image);
        await save(store, DEBIAN, image);
        const manifestBytes = image.descriptor.size;
        expect(await store.totals()).toEqual({ ...NOTHING, manifests: 1, manifestBytes });
      });

      it('go from one repository with the tags that point to them there', async () => {
        const kept = imageOf([], { note: 'kept' });
        await save(store, ALPINE, image, kept);
        await save(store, DEBIAN, image);
        await store.saveTag(ALPINE, tagRecord('old', image));
        await store.saveTag(ALPINE, tagRecord('kept', kept));
        await store.saveTag(DEBIAN, tagRecord('old', image));
        await store.findTag(ALPINE, tagOf('old'));
        await store.findManifest(ALPINE, digest(image));

        await store.unlinkManifest(ALPINE, digest(image));

        expect(await store.findManifest(ALPINE, digest(image))).toBeUndefined();
        expect(await store.findTag(ALPINE, tagOf('old'))).toBeUndefined();
        expect(await store.listTags(ALPINE)).toEqual(['kept']);
        expect(await store.findManifest(DEBIAN, digest(image))).toBeDefined();
        expect(await store.findTag(DEBIAN, tagOf('old'))).toBeDefined();
      });

      it('are known no more when the last repository has lost them', async () => {
        await save(store, ALPINE, image);
        await store.unlinkManifest(DEBIAN, digest(image));
        expect(await store.findManifestAnywhere(digest(image))).toBeDefined();
        await store.unlinkManifest(ALPINE, digest(image));
        expect(await store.findManifestAnywhere(digest(image))).toBeUndefined();
        expect(await store.totals()).toEqual(NOTHING);
      });

      it('are listed as referrers of their subject, in the repository that holds them', async () => {
        const [one, two] = ['one', 'two'].map((note) => imageOf([], { note, subject: image }));
        const away = imageOf([], { note: 'away', subject: image });
        await save(store, ALPINE, image, one!, two!);
        await save(store, DEBIAN, away);
        const referrers = await store.listReferrers(ALPINE, digest(image));
        expect(referrers.map(digest)).toEqual([digest(one!), digest(two!)].sort());
        expect(Buffer.from(referrers[0]!.bytes).toString()).toContain('"subject"');
        expect(await store.listReferrers(ALPINE, digest(one!))).toEqual([]);
      });
    });

    describe('blobs', () => {
      const layer = blobOf('layer', 300);

      it('are found only in a repository that was shown to hold them', async () => {
        expect(await store.findBlob(ALPINE, layer.digest)).toBeUndefined();
        await link(store, ALPINE, layer, layer);
        expect(await store.findBlob(ALPINE, layer.digest)).toEqual(layer);
        expect(await store.findBlob(DEBIAN, layer.digest)).toBeUndefined();
        expect(await store.findBlob(ALPINE_ELSEWHERE, layer.digest)).toBeUndefined();
        await link(store, DEBIAN, layer);
        expect(await store.findBlob(DEBIAN, layer.digest)).toEqual(layer);
        expect(await store.totals()).toEqual({ ...NOTHING, blobs: 1, blobBytes: 300 });
      });

      it('are forgotten everywhere, and their manifests stay', async () => {
        const image = imageOf([layer]);
        await link(store, ALPINE, layer);
        await link(store, DEBIAN, layer);
        await save(store, ALPINE, image);
        await store.findBlob(ALPINE, layer.digest);

        expect(await store.forgetBlob(layer.digest)).toBe(true);

        expect(await store.findBlob(ALPINE, layer.digest)).toBeUndefined();
        expect(await store.findBlob(DEBIAN, layer.digest)).toBeUndefined();
        expect(await store.findManifest(ALPINE, digest(image))).toBeDefined();
        expect((await store.totals()).blobBytes).toBe(0);
        expect(await store.forgetBlob(layer.digest)).toBe(false);
      });

      it('that were found on disk are held by no repository yet, and known ones stay as they are', async () => {
        await link(store, ALPINE, layer);
        await store.recordFound([{ ...layer, size: 1 }, blobOf('found', 7)], 5000);
        expect(await store.findBlob(ALPINE, layer.digest)).toEqual(layer);
        expect(await store.findBlob(ALPINE, blobOf('found').digest)).toBeUndefined();
        expect(await store.totals()).toEqual({ ...NOTHING, blobs: 2, blobBytes: 307 });
        expect(await store.leastRecentlyUsed(9)).toEqual([
          { kind: 'blob', ...layer, usedAt: 1000 },
          { kind: 'blob', ...blobOf('found', 7), usedAt: 5000 },
        ]);
      });

      it('are all met by a walk, each once, while others go', async () => {
        const all = [...manyBlobs(2500)];
        await store.recordFound(all, 1);
        const met: string[] = [];
        for await (const blob of store.listBlobs()) {
          met.push(blob.digest);
          await store.forgetBlob(blob.digest);
        }
        expect(met.sort()).toEqual(all.map((blob) => blob.digest).sort());
        expect(await collect(store.listBlobs())).toEqual([]);
      });

      it('are gone on with behind any of them, known or not', async () => {
        await store.recordFound(manyBlobs(1500), 1);
        const all = await collect(store.listBlobs());
        for (const at of [0, 999, 1000, 1498, 1499]) {
          expect(await collect(store.listBlobs(all[at]!.digest))).toEqual(all.slice(at + 1));
        }
        await store.forgetBlob(all[700]!.digest);
        expect(await collect(store.listBlobs(all[700]!.digest))).toEqual(all.slice(701));
      });
    });

    describe('listRepositories', () => {
      it('gives the names that hold something, in pages of lexical order', async () => {
        for (const name of ['b', 'a/z', 'a', 'a-b']) await link(store, repositoryKey(name), blobOf(name));
        await save(store, repositoryKey('c'), imageOf([]));
        await store.saveTag(repositoryKey('only/a/tag'), tagRecord('1', imageOf([])));
        await link(store, repositoryKey('away', 'quay.io'), blobOf('a'));

        expect(await store.listRepositories('docker.io', undefined, 3)).toEqual(['a', 'a-b', 'a/z']);
        expect(await store.listRepositories('docker.io', 'a/z', 3)).toEqual(['b', 'c']);
        expect(await store.listRepositories('docker.io', 'aa', 1)).toEqual(['b']);
        expect(await store.listRepositories('quay.io', undefined, 9)).toEqual(['away']);

        await store.forgetBlob(blobOf('b').digest);
        expect(await store.listRepositories('docker.io', 'a/z', 3)).toEqual(['c']);
      });
    });

    describe('recordAccess', () => {
      it('makes a blob the last to be evicted', async () => {
        const [one, two] = [blobOf('one'), blobOf('two')];
        await store.recordFound([one, two], 1);
        await store.recordAccess([one.digest], 2);
        expect(await oldestFirst()).toEqual([two.digest, one.digest]);
      });

      it('touches all that an index reaches and is held', async () => {
        const [a, b, gone, alien] = ['a', 'b', 'gone', 'alien'].map((seed) => blobOf(seed));
        const [imageA, imageB] = [imageOf([a!, gone!]), imageOf([b!])];
        const notHeld = imageOf([], { note: 'not held' });
        const index = indexOf([imageA, imageB, notHeld]);
        await link(store, ALPINE, a!, b!, alien!);
        await save(store, ALPINE, imageA, imageB, index);

        await store.recordAccess([digest(index)], 9000);

        const candidates = await store.leastRecentlyUsed(100);
        expect(candidates.filter((candidate) => candidate.usedAt < 9000)).toEqual([
          { kind: 'blob', ...alien!, usedAt: 1000 },
        ]);
        expect(candidates).toHaveLength(6);
      });

      it('does not touch what a manifest is only about', async () => {
        const image = imageOf([]);
        const signature = imageOf([], { subject: image });
        await save(store, ALPINE, image, signature);
        await store.recordAccess([digest(signature)], 9000);
        const [oldest, newest] = await store.leastRecentlyUsed(2);
        expect(oldest).toMatchObject({ digest: digest(image), usedAt: 1000 });
        expect(newest).toMatchObject({ digest: digest(signature), usedAt: 9000 });
      });

      it('never makes anything older', async () => {
        await store.recordFound([blobOf('one')], 100);
        await store.recordAccess([blobOf('one').digest], 50);
        expect((await store.leastRecentlyUsed(1))[0]?.usedAt).toBe(100);
      });
    });

    describe('leastRecentlyUsed', () => {
      it('merges blobs and manifests, and can leave out the first', async () => {
        const image = imageOf([]);
        await store.recordFound([blobOf('first')], 1);
        now = 2;
        await save(store, ALPINE, image);
        await store.recordFound([blobOf('last')], 3);
        const all = [
          { kind: 'blob', ...blobOf('first'), usedAt: 1 },
          { kind: 'manifest', digest: digest(image), size: image.descriptor.size, usedAt: 2 },
          { kind: 'blob', ...blobOf('last'), usedAt: 3 },
        ];
        expect(await store.leastRecentlyUsed(10)).toEqual(all);
        expect(await store.leastRecentlyUsed(1, 1)).toEqual([all[1]]);
        expect(await store.leastRecentlyUsed(10, 3)).toEqual([]);
      });

      it('has the same order each time for what was used at the same time', async () => {
        await store.recordFound(manyBlobs(50), 1);
        const whole = await oldestFirst();
        const paged: string[] = [];
        for (let skip = 0; skip < 50; skip += 7) {
          paged.push(...(await store.leastRecentlyUsed(7, skip)).map((candidate) => candidate.digest));
        }
        expect(paged).toEqual(whole);
      });
    });

    describe('evict', () => {
      it('takes a blob with every manifest that needs it and the tags that point there', async () => {
        const [shared, own] = [blobOf('shared', 10), blobOf('own', 20)];
        const [one, two] = [imageOf([shared, own]), imageOf([shared], { note: 'two' })];
        const apart = imageOf([own], { note: 'apart' });
        await link(store, ALPINE, shared, own);
        await link(store, DEBIAN, shared);
        await save(store, ALPINE, one, apart);
        await save(store, DEBIAN, two);
        await store.saveTag(ALPINE, tagRecord('one', one));
        await store.saveTag(ALPINE, tagRecord('apart', apart));
        await store.saveTag(ALPINE_ELSEWHERE, tagRecord('head-only', two));
        await store.findTag(ALPINE, tagOf('one'));
        await store.findManifest(DEBIAN, digest(two));
        await store.findBlob(DEBIAN, shared.digest);

        const evicted = await store.evict({ kind: 'blob', digest: shared.digest });

        expect([...evicted.manifests].sort()).toEqual([digest(one), digest(two)].sort());
        expect(evicted.manifestBytes).toBe(one.descriptor.size + two.descriptor.size);
        expect(await store.findBlob(DEBIAN, shared.digest)).toBeUndefined();
        expect(await store.findManifest(DEBIAN, digest(two))).toBeUndefined();
        expect(await store.findTag(ALPINE, tagOf('one'))).toBeUndefined();
        expect(await store.findTag(ALPINE_ELSEWHERE, tagOf('head-only'))).toBeUndefined();
        expect(await store.findTag(ALPINE, tagOf('apart'))).toBeDefined();
        expect(await store.findBlob(ALPINE, own.digest)).toEqual(own);
        expect(await store.totals()).toEqual({
          blobs: 1,
          blobBytes: 20,
          manifests: 1,
          manifestBytes: apart.descriptor.size,
        });
      });

      it('takes an index with its last manifest, and the index above that', async () => {
        const [a, b] = [blobOf('a'), blobOf('b')];
        const [imageA, imageB] = [imageOf([a]), imageOf([b])];
        const index = indexOf([imageA, imageB, imageOf([], { note: 'never fetched' })]);
        const above = indexOf([index], 'above');
        await link(store, ALPINE, a, b);
        await save(store, ALPINE, imageA, imageB, index, above);
        await store.saveTag(ALPINE, tagRecord('latest', above));
        await store.findTag(ALPINE, tagOf('latest'));

        const first = await store.evict({ kind: 'blob', digest: a.digest });
        expect(first.manifests).toEqual([digest(imageA)]);
        expect(await store.findManifest(ALPINE, digest(index))).toBeDefined();
        expect(await store.findTag(ALPINE, tagOf('latest'))).toBeDefined();

        const second = await store.evict({ kind: 'blob', digest: b.digest });
        expect(second.manifests).toEqual([digest(imageB), digest(index), digest(above)]);
        expect(await store.findManifest(ALPINE, digest(index))).toBeUndefined();
        expect(await store.findTag(ALPINE, tagOf('latest'))).toBeUndefined();
        expect(await store.totals()).toEqual(NOTHING);
      });

      it('takes a manifest alone, and leaves its blobs and its children', async () => {
        const layer = blobOf('layer');
        const image = imageOf([layer]);
        const index = indexOf([image]);
        await link(store, ALPINE, layer);
        await save(store, ALPINE, image, index);
        const evicted = await store.evict({ kind: 'manifest', digest: digest(index) });
        expect(evicted).toEqual({ manifests: [digest(index)], manifestBytes: index.descriptor.size });
        expect(await store.findManifest(ALPINE, digest(image))).toBeDefined();
        expect(await store.findBlob(ALPINE, layer.digest)).toEqual(layer);
      });

      it('takes nothing where the candidate is gone already', async () => {
        const layer = blobOf('layer');
        const image = imageOf([layer]);
        await save(store, ALPINE, image);
        const nothing = { manifests: [], manifestBytes: 0 };
        expect(await store.evict({ kind: 'blob', digest: layer.digest })).toEqual(nothing);
        expect(await store.evict({ kind: 'manifest', digest: layer.digest })).toEqual(nothing);
        expect(await store.findManifest(ALPINE, digest(image))).toBeDefined();
      });

      it('leaves room for the same content to come again', async () => {
        const layer = blobOf('layer');
        const image = imageOf([layer]);
        for (let times = 0; times < 2; times++) {
          await link(store, ALPINE, layer);
          await save(store, ALPINE, image);
          expect(await store.findManifest(ALPINE, digest(image))).toBeDefined();
          await store.evict({ kind: 'blob', digest: layer.digest });
          expect(await store.findManifest(ALPINE, digest(image))).toBeUndefined();
        }
        expect(await store.totals()).toEqual(NOTHING);
      });
    });

    it('rejects, instead of throwing, once it is closed', async () => {
      await store.close();
      await expect(store.totals()).rejects.toThrow();
      await expect(store.findTag(ALPINE, tagOf('3'))).rejects.toThrow();
    });
  });
}
