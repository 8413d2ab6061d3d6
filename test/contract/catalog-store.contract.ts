/** What every CatalogStore and TrafficHistory promises. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CatalogStore, Pin, TrafficHistory } from '../../src/metadata/catalog-store.ts';
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
  tagOf,
  tagRecord,
} from '../unit/metadata/content.ts';

export interface CatalogStoreHarness {
  readonly store: MetadataStore;
  readonly catalog: CatalogStore;
  readonly history: TrafficHistory;
  readonly dispose: () => Promise<void>;
}

const ALPINE = repositoryKey('library/alpine');
const DEBIAN = repositoryKey('library/debian');

/** @param open gives an empty store that takes the time from `clock` */
export function catalogStoreContract(
  name: string,
  open: (clock: () => number) => Promise<CatalogStoreHarness>,
): void {
  describe(`${name} as a CatalogStore`, () => {
    let now: number;
    let harness: CatalogStoreHarness;
    let store: MetadataStore;
    let catalog: CatalogStore;
    beforeEach(async () => {
      now = 1000;
      harness = await open(() => now);
      ({ store, catalog } = harness);
    });
    afterEach(() => harness.dispose());

    const [shared, own] = [blobOf('shared', 300), blobOf('own', 20)];
    const image = imageOf([shared, own]);
    const index = indexOf([image, imageOf([], { note: 'never fetched' })]);

    const filled = async () => {
      await link(store, ALPINE, shared, own);
      await save(store, ALPINE, image, index);
      await store.saveTag(ALPINE, tagRecord('3', index, 7));
      now = 2000;
      await link(store, DEBIAN, shared);
    };
    const namesOf = async (...parameters: Parameters<CatalogStore['listRepositories']>) =>
      (await catalog.listRepositories(...parameters)).map((repository) => repository.name);

    describe('listRepositories', () => {
      it('tells what each holds, and how much of that another holds too', async () => {
        await filled();
        await store.recordAccess([own.digest], 5000);
        expect(await catalog.listRepositories('docker.io', undefined, 10)).toEqual([
          {
            name: 'library/alpine',
            ...{ tags: 1, manifests: 2, blobs: 2, usedAt: 5000 },
            bytes: 320 + image.descriptor.size + index.descriptor.size,
            sharedBytes: 300,
          },
          {
            name: 'library/debian',
            ...{ tags: 0, manifests: 0, blobs: 1, usedAt: 1000 },
            ...{ bytes: 300, sharedBytes: 300 },
          },
        ]);
      });

      it('sums up one that holds more than is read at once', async () => {
        const blobs = [...manyBlobs(1100)];
        await link(store, ALPINE, ...blobs);
        await link(store, DEBIAN, blobs[1]!, blobs[1099]!);
        const [alpine] = await catalog.listRepositories('docker.io', undefined, 1);
        expect(alpine).toMatchObject({ blobs: 1100, bytes: (1099 * 1100) / 2, sharedBytes: 1100 });
      });

      it('gives pages in lexical order of those that hold something or have a tag', async () => {
        for (const repository of ['b', 'a/z', 'a', 'gone']) {
          await link(store, repositoryKey(repository), blobOf(repository));
        }
        await store.saveTag(repositoryKey('only/a/tag'), tagRecord('1', image));
        await link(store, repositoryKey('away', 'quay.io'), shared);
        await store.forgetBlob(blobOf('gone').digest);
        expect(await namesOf('docker.io', undefined, 3)).toEqual(['a', 'a/z', 'b']);
        expect(await namesOf('docker.io', 'a/z', 3)).toEqual(['b', 'only/a/tag']);
        expect(await namesOf('quay.io', undefined, 3)).toEqual(['away']);
        const [tagged] = await catalog.listRepositories('docker.io', 'b', 1);
        expect(tagged).toEqual({
          name: 'only/a/tag',
          ...{ tags: 1, manifests: 0, blobs: 0, bytes: 0, sharedBytes: 0, usedAt: undefined },
        });
      });

      it('searches for a part of the name, in any case, with no wildcards', async () => {
        for (const repository of ['team/app_one', 'team/app-two', 'other/one']) {
          await link(store, repositoryKey(repository), shared);
        }
        expect(await namesOf('docker.io', undefined, 9, 'ONE')).toEqual(['other/one', 'team/app_one']);
        expect(await namesOf('docker.io', undefined, 9, 'app_')).toEqual(['team/app_one']);
        expect(await namesOf('docker.io', undefined, 9, '%')).toEqual([]);
        expect(await namesOf('docker.io', 'other/one', 1, 'one')).toEqual(['team/app_one']);
      });

      it('finds a name behind more than are read at once', async () => {
        for (let n = 0; n < 1050; n += 1) {
          await store.saveTag(repositoryKey(`a${String(n).padStart(5, '0')}`), tagRecord('1', image));
        }
        await link(store, repositoryKey('zebra'), shared);
        expect(await namesOf('docker.io', undefined, 2, 'zeb')).toEqual(['zebra']);
      });
    });

    describe('listTags', () => {
      it('tells where each points and all that it reaches and is here', async () => {
        await filled();
        await store.saveTag(ALPINE, tagRecord('head-only', imageOf([], { note: 'never fetched' }), 9));
        await store.recordAccess([digest(index)], 6000);
        expect(await catalog.listTags(ALPINE, undefined, 10)).toEqual([
          {
            ...tagRecord('3', index, 7),
            usedAt: 6000,
            bytes: 320 + image.descriptor.size + index.descriptor.size,
          },
          {
            ...tagRecord('head-only', imageOf([], { note: 'never fetched' }), 9),
            ...{ usedAt: undefined, bytes: 0 },
          },
        ]);
      });

      it('tells of no use where only another repository holds the manifest', async () => {
        await filled();
        await store.saveTag(DEBIAN, tagRecord('3', image));
        const [tag] = await catalog.listTags(DEBIAN, undefined, 1);
        expect(tag).toMatchObject({ usedAt: undefined, bytes: 320 + image.descriptor.size });
      });

      it('gives pages in lexical order', async () => {
        for (const tag of ['b', 'a', 'C', 'd']) await store.saveTag(ALPINE, tagRecord(tag, image));
        const tagsOf = async (after: string | undefined, limit: number) =>
          (await catalog.listTags(ALPINE, after === undefined ? undefined : tagOf(after), limit)).map(
            ({ tag }) => tag,
          );
        expect(await tagsOf(undefined, 3)).toEqual(['C', 'a', 'b']);
        expect(await tagsOf('b', 3)).toEqual(['d']);
        expect(await catalog.listTags(DEBIAN, undefined, 3)).toEqual([]);
      });
    });

    describe('listManifests', () => {
      it('gives pages in order of the digests, with the tags that point there', async () => {
        await filled();
        await save(store, DEBIAN, imageOf([], { note: 'away' }));
        for (const tag of ['latest', '3.20']) await store.saveTag(ALPINE, tagRecord(tag, image));
        await store.saveTag(DEBIAN, tagRecord('elsewhere', image));
        const all = [
          { descriptor: image.descriptor, tags: ['3.20', 'latest'], usedAt: 1000 },
          { descriptor: index.descriptor, tags: ['3'], usedAt: 1000 },
        ].toSorted((a, b) => (a.descriptor.digest < b.descriptor.digest ? -1 : 1));
        expect(await catalog.listManifests(ALPINE, undefined, 5)).toEqual(all);
        expect(await catalog.listManifests(ALPINE, undefined, 1)).toEqual(all.slice(0, 1));
        expect(await catalog.listManifests(ALPINE, all[0]!.descriptor.digest, 5)).toEqual(all.slice(1));
        expect(await catalog.listManifests(repositoryKey('unknown'), undefined, 5)).toEqual([]);
      });

      it('gives as many as are asked for, though fewer are read at once', async () => {
        const images = Array.from({ length: 250 }, (_, n) => imageOf([], { note: String(n) }));
        await save(store, ALPINE, ...images);
        const listed = await catalog.listManifests(ALPINE, undefined, 230);
        expect(listed.map(({ descriptor }) => descriptor.digest)).toEqual(
          images.map(digest).sort().slice(0, 230),
        );
      });
    });

    describe('describe', () => {
      it('tells of blobs and manifests who holds them, in the order asked for', async () => {
        await filled();
        const unknown = blobOf('unknown').digest;
        expect(await catalog.describe(DEBIAN, [digest(image), unknown, shared.digest])).toEqual([
          { digest: digest(image), isHeld: false, usedAt: 1000, repositories: 1 },
          { digest: unknown, isHeld: false, usedAt: undefined, repositories: 0 },
          { digest: shared.digest, isHeld: true, usedAt: 1000, repositories: 2 },
        ]);
        expect(await catalog.describe(repositoryKey('unknown'), [shared.digest])).toMatchObject([
          { isHeld: false, repositories: 2 },
        ]);
      });
    });

    describe('listPins', () => {
      it('gives pages in order, with what each reaches and is here', async () => {
        await filled();
        const pins: Pin[] = [
          { repository: ALPINE, reference: { kind: 'tag', tag: tagOf('3') } },
          { repository: ALPINE, reference: { kind: 'tag', tag: tagOf('unknown') } },
          { repository: DEBIAN, reference: { kind: 'digest', digest: digest(image) } },
          { repository: repositoryKey('a', 'quay.io'), reference: { kind: 'tag', tag: tagOf('1') } },
        ];
        for (const { repository, reference } of pins.toReversed()) await store.pin(repository, reference);
        const bytes = 320 + image.descriptor.size;
        const all = [
          { ...pins[0], bytes: bytes + index.descriptor.size, isHeld: true },
          { ...pins[1], bytes: 0, isHeld: false },
          // Another repository holds it.
          { ...pins[2], bytes, isHeld: false },
          { ...pins[3], bytes: 0, isHeld: false },
        ];
        expect(await catalog.listPins(undefined, 9)).toEqual(all);
        expect(await catalog.listPins(pins[0], 2)).toEqual(all.slice(1, 3));
        expect(await catalog.listPins(pins[3], 2)).toEqual([]);
      });
    });
  });

  describe(`${name} as a TrafficHistory`, () => {
    let harness: CatalogStoreHarness;
    let history: TrafficHistory;
    beforeEach(async () => {
      harness = await open(() => 1);
      ({ history } = harness);
    });
    afterEach(() => harness.dispose());
    const counts = (n: number) => ({
      ...{ requests: n, hits: 2 * n, servedBytes: 3 * n, hitBytes: 4 * n, fetchedBytes: 5 * n },
    });

    it('adds up what belongs to one span, and all in all', async () => {
      expect(await history.totals()).toBeUndefined();
      await history.add(60_000, counts(1));
      await history.add(120_000, counts(10));
      await history.add(60_000, counts(2));
      expect(await history.list(0)).toEqual([
        { beganAt: 60_000, ...counts(3) },
        { beganAt: 120_000, ...counts(10) },
      ]);
      expect(await history.list(60_001)).toEqual([{ beganAt: 120_000, ...counts(10) }]);
      expect(await history.totals()).toEqual({ beganAt: 60_000, ...counts(13) });
    });

    it('forgets spans and keeps their totals', async () => {
      for (let n = 0; n < 1100; n += 1) await history.add(n, counts(1));
      expect(await history.list(5)).toHaveLength(1095);
      await history.forget(1050);
      expect((await history.list(0)).map(({ beganAt }) => beganAt)[0]).toBe(1050);
      expect(await history.totals()).toEqual({ beganAt: 0, ...counts(1100) });
    });
  });
}
