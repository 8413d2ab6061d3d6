/** What every MetadataStore promises of what somebody wants gone, or wants to stay. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MetadataStore } from '../../src/metadata/metadata-store.ts';
import type { Manifest } from '../../src/oci/manifest.ts';
import type { Reference } from '../../src/oci/reference.ts';
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
import type { MetadataStoreHarness } from './metadata-store.contract.ts';

const ALPINE = repositoryKey('library/alpine');
const DEBIAN = repositoryKey('library/debian');
const ALPINE_ELSEWHERE = repositoryKey('library/alpine', 'quay.io');
const UNKNOWN = repositoryKey('library/unknown');

const tagRef = (tag: string): Reference => ({ kind: 'tag', tag: tagOf(tag) });
const digestRef = (of: Manifest): Reference => ({ kind: 'digest', digest: digest(of) });
const sorted = (...of: Parameters<typeof digest>[0][]) => of.map(digest).sort();

/** @param open gives an empty store that takes the time from `clock` */
export function metadataStorePurgeContract(
  name: string,
  open: (clock: () => number) => Promise<MetadataStoreHarness>,
): void {
  describe(`${name} as a MetadataStore of what is to go or to stay`, () => {
    let harness: MetadataStoreHarness;
    let store: MetadataStore;
    beforeEach(async () => {
      harness = await open(() => 1000);
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    const [base, own, other] = ['base', 'own', 'other'].map((seed) => blobOf(seed, seed.length));
    const layers = [base!, own!];
    const image = imageOf(layers);
    const arm = imageOf([base!, other!], { note: 'arm' });
    const index = indexOf([image, arm]);

    /** An index with two images under one tag. */
    const tagged = async () => {
      await link(store, ALPINE, base!, own!, other!);
      await save(store, ALPINE, image, arm, index);
      await store.saveTag(ALPINE, tagRecord('3', index));
      await store.findTag(ALPINE, tagOf('3'));
      for (const manifest of [image, arm, index]) await store.findManifest(ALPINE, digest(manifest));
      for (const blob of [base!, own!, other!]) await store.findBlob(ALPINE, blob.digest);
    };
    const isHeld = async (of: Manifest | typeof base, repository = ALPINE) =>
      'bytes' in of!
        ? (await store.findManifest(repository, digest(of))) !== undefined
        : (await store.findBlob(repository, of!.digest)) !== undefined;

    describe('purge of a tag', () => {
      it('takes all that only it reaches, and tells what nobody holds any more', async () => {
        await tagged();
        const purged = await store.purge(ALPINE, tagRef('3'));
        expect(purged?.tags).toEqual(['3']);
        expect([...purged!.manifests].sort()).toEqual(sorted(image, arm, index));
        expect(purged?.manifestBytes).toBe(
          [image, arm, index].reduce((sum, { descriptor }) => sum + descriptor.size, 0),
        );
        expect([...purged!.unheld].sort((a, b) => a.size - b.size)).toEqual([own, base, other]);
        expect([...purged!.released].sort()).toEqual(sorted(image, arm, index, base!, own!, other!));
        expect(await store.findTag(ALPINE, tagOf('3'))).toBeUndefined();
        for (const of of [image, arm, index, base!, own!, other!]) expect(await isHeld(of)).toBe(false);
        // Rows and files of the blobs are for whoever may evict them.
        expect(await store.totals()).toEqual({ blobs: 3, blobBytes: 12, manifests: 0, manifestBytes: 0 });
      });

      it('takes the tag alone where another points there too', async () => {
        await tagged();
        await store.saveTag(ALPINE, tagRecord('latest', index));
        const purged = await store.purge(ALPINE, tagRef('3'));
        expect(purged).toEqual({ tags: ['3'], manifests: [], manifestBytes: 0, unheld: [], released: [] });
        for (const of of [image, arm, index, base!, own!]) expect(await isHeld(of)).toBe(true);
        expect(await store.listTags(ALPINE)).toEqual(['latest']);
      });

      it('takes the tag alone where an index needs its manifest', async () => {
        await tagged();
        await store.saveTag(ALPINE, tagRecord('amd64', image));
        const purged = await store.purge(ALPINE, tagRef('amd64'));
        expect(purged).toMatchObject({ tags: ['amd64'], released: [] });
        expect(await isHeld(image)).toBe(true);
      });

      it('leaves what another index or tag of the repository needs', async () => {
        await tagged();
        const newer = indexOf([arm], 'newer');
        await save(store, ALPINE, newer);
        await store.saveTag(ALPINE, tagRecord('newer', newer));
        await store.saveTag(ALPINE, tagRecord('amd64', image));
        const purged = await store.purge(ALPINE, tagRef('3'));
        expect(purged).toMatchObject({ manifests: [digest(index)], unheld: [] });
        for (const of of [image, arm, newer, base!, own!, other!]) expect(await isHeld(of)).toBe(true);
        const next = await store.purge(ALPINE, tagRef('amd64'));
        expect(next).toMatchObject({ manifests: [digest(image)], unheld: [own] });
        expect([await isHeld(arm), await isHeld(base), await isHeld(own)]).toEqual([true, true, false]);
      });

      it('takes nothing of another repository, nor what that one holds', async () => {
        await tagged();
        await link(store, DEBIAN, base!, own!);
        await save(store, DEBIAN, image);
        await store.saveTag(DEBIAN, tagRecord('3', image));
        await store.saveTag(ALPINE_ELSEWHERE, tagRecord('3', index));
        const purged = await store.purge(ALPINE, tagRef('3'));
        expect([...purged!.manifests].sort()).toEqual(sorted(arm, index));
        expect(purged?.unheld).toEqual([other]);
        expect(purged?.released).toContain(digest(image));
        expect([await isHeld(image), await isHeld(base)]).toEqual([false, false]);
        expect([await isHeld(image, DEBIAN), await isHeld(base, DEBIAN)]).toEqual([true, true]);
        expect(await store.findTag(DEBIAN, tagOf('3'))).toBeDefined();
        expect(await store.findTag(ALPINE_ELSEWHERE, tagOf('3'))).toBeDefined();
      });

      it('takes the referrers of what goes, and theirs, unless a tag points to them', async () => {
        await tagged();
        const signature = imageOf([blobOf('signature')], { subject: image });
        const countersign = imageOf([], { note: 'counter', subject: signature });
        const kept = imageOf([], { note: 'kept', subject: image });
        await link(store, ALPINE, blobOf('signature'));
        await save(store, ALPINE, signature, countersign, kept);
        await save(store, DEBIAN, countersign);
        await store.saveTag(ALPINE, tagRecord('sha256-kept.sig', kept));
        const purged = await store.purge(ALPINE, tagRef('3'));
        expect(await isHeld(kept)).toBe(true);
        expect([await isHeld(signature), await isHeld(countersign)]).toEqual([false, false]);
        expect(purged?.unheld.map(digest)).toContain(blobOf('signature').digest);
        expect(await isHeld(countersign, DEBIAN)).toBe(true);
      });

      it('is of one that only a HEAD has taught as well', async () => {
        await store.saveTag(ALPINE, tagRecord('3', index));
        expect(await store.purge(ALPINE, tagRef('3'))).toMatchObject({ tags: ['3'], released: [] });
        expect(await store.listTags(ALPINE)).toEqual([]);
      });

      it('is undefined where it is not known', async () => {
        await tagged();
        expect(await store.purge(ALPINE, tagRef('4'))).toBeUndefined();
        expect(await store.purge(UNKNOWN, tagRef('3'))).toBeUndefined();
        expect(await isHeld(image)).toBe(true);
      });

      it('leaves a layer that an image far behind others still needs, however many need it elsewhere', async () => {
        const images = Array.from({ length: 1200 }, (_, n) => imageOf([base!], { note: String(n) }));
        await save(store, DEBIAN, ...images);
        const byDigest = images.toSorted((a, b) => (digest(a) < digest(b) ? -1 : 1));
        await link(store, ALPINE, base!, own!);
        await save(store, ALPINE, image, byDigest.at(-1)!);
        await store.saveTag(ALPINE, tagRecord('3', image));
        expect(await store.purge(ALPINE, tagRef('3'))).toMatchObject({ unheld: [own] });
        expect(await isHeld(base)).toBe(true);
        await store.saveTag(ALPINE, tagRecord('last', byDigest.at(-1)!));
        expect(await store.purge(ALPINE, tagRef('last'))).toMatchObject({ manifests: [], unheld: [base] });
        expect(await isHeld(base)).toBe(false);
      });
    });

    describe('purge of a manifest', () => {
      it('takes it with its tags, though an index needs it', async () => {
        await tagged();
        for (const tag of ['amd64', 'x86']) await store.saveTag(ALPINE, tagRecord(tag, image));
        await store.findTag(ALPINE, tagOf('x86'));
        const purged = await store.purge(ALPINE, digestRef(image));
        expect([...purged!.tags].sort()).toEqual(['amd64', 'x86']);
        expect(purged).toMatchObject({ manifests: [digest(image)], unheld: [own] });
        expect(await store.findTag(ALPINE, tagOf('x86'))).toBeUndefined();
        expect([await isHeld(index), await isHeld(arm), await isHeld(base)]).toEqual([true, true, true]);
      });

      it('takes the children of an index that nothing else needs', async () => {
        await tagged();
        const purged = await store.purge(ALPINE, digestRef(index));
        expect(purged?.tags).toEqual(['3']);
        expect([...purged!.manifests].sort()).toEqual(sorted(image, arm, index));
      });

      it('is undefined where the repository neither holds it nor has a tag that points there', async () => {
        await tagged();
        expect(await store.purge(ALPINE, digestRef(imageOf([])))).toBeUndefined();
        await link(store, DEBIAN, base!);
        expect(await store.purge(DEBIAN, digestRef(image))).toBeUndefined();
      });
    });

    describe('purge of a repository', () => {
      it('takes all of it, whatever points to what, and nothing of another', async () => {
        await tagged();
        await save(store, ALPINE, imageOf([], { note: 'untagged' }));
        await store.saveTag(ALPINE, tagRecord('head-only', imageOf([], { note: 'never fetched' })));
        await link(store, DEBIAN, base!);
        await save(store, DEBIAN, arm);
        const purged = await store.purge(ALPINE, 'all');
        expect(purged?.tags).toEqual(['3', 'head-only']);
        expect(purged?.manifests).toHaveLength(3);
        expect(purged?.unheld.map(digest).sort()).toEqual(sorted(own!, other!));
        expect(purged?.released).toHaveLength(7);
        expect(await store.listTags(ALPINE)).toEqual([]);
        expect(await store.listRepositories('docker.io', undefined, 9)).toEqual(['library/debian']);
        expect([await isHeld(arm, DEBIAN), await isHeld(base, DEBIAN)]).toEqual([true, true]);
        expect(await store.purge(ALPINE, 'all')).toBeUndefined();
      });

      it('takes all of one that holds much', async () => {
        const blobs = [...manyBlobs(150)];
        const images = Array.from({ length: 60 }, (_, n) => imageOf([blobs[n]!], { note: String(n) }));
        await link(store, ALPINE, ...blobs);
        await save(store, ALPINE, ...images);
        for (const [n, manifest] of images.entries())
          await store.saveTag(ALPINE, tagRecord(`v${n}`, manifest));
        const purged = await store.purge(ALPINE, 'all');
        expect([purged?.tags.length, purged?.manifests.length, purged?.unheld.length]).toEqual([60, 60, 150]);
        expect(await store.totals()).toMatchObject({ blobs: 150, manifests: 0 });
      });

      it('is undefined where nothing is known of it', async () => {
        expect(await store.purge(UNKNOWN, 'all')).toBeUndefined();
      });
    });

    describe('forgetUnheld', () => {
      it('takes the row of a blob that no repository holds, and of no other', async () => {
        await link(store, ALPINE, base!);
        await store.recordFound([own!], 1);
        expect(await store.forgetUnheld(base!.digest)).toBe(false);
        expect(await store.forgetUnheld(own!.digest)).toBe(true);
        expect(await store.forgetUnheld(own!.digest)).toBe(false);
        expect(await isHeld(base)).toBe(true);
        expect(await store.totals()).toMatchObject({ blobs: 1, blobBytes: 4 });
      });
    });

    describe('pins', () => {
      const pinned = async () => Object.fromEntries(await store.pinnedContent());

      it('are new once, and go once', async () => {
        expect(await store.unpin(ALPINE, tagRef('3'))).toBe(false);
        expect(await store.pin(ALPINE, tagRef('3'))).toBe(true);
        expect(await store.pin(ALPINE, tagRef('3'))).toBe(false);
        expect(await store.pin(ALPINE_ELSEWHERE, tagRef('3'))).toBe(true);
        expect(await store.unpin(ALPINE, tagRef('3'))).toBe(true);
        expect(await store.unpin(ALPINE, tagRef('3'))).toBe(false);
      });

      it('stand for nothing while nothing is known', async () => {
        expect(await pinned()).toEqual({});
        await store.pin(ALPINE, tagRef('3'));
        expect(await pinned()).toEqual({});
      });

      it('stand for all that a tag reaches now, held or not', async () => {
        const newest = imageOf([blobOf('newest')], { note: 'newest', subject: image });
        await tagged();
        await store.forgetBlob(own!.digest);
        await store.pin(ALPINE, tagRef('3'));
        const content = await pinned();
        expect(Object.keys(content).sort()).toEqual(sorted(image, arm, index, base!, own!, other!));
        expect(content[base!.digest]).toBe(4);
        expect(content[own!.digest]).toBe(0);
        expect(content[digest(image)]).toBe(image.descriptor.size);
        // The tag moves, and what it is about is not part of it.
        await save(store, ALPINE, newest);
        await store.saveTag(ALPINE, tagRecord('3', newest));
        expect(Object.keys(await pinned()).sort()).toEqual(sorted(newest, blobOf('newest')));
      });

      it('stand for a digest whether it is known or not', async () => {
        await store.pin(ALPINE, digestRef(image));
        expect(await pinned()).toEqual({ [digest(image)]: 0 });
        await save(store, DEBIAN, image);
        expect(Object.keys(await pinned()).sort()).toEqual(sorted(image, base!, own!));
      });

      it('stay when what they stand for is purged', async () => {
        await tagged();
        await store.pin(ALPINE, tagRef('3'));
        await store.purge(ALPINE, 'all');
        expect(await pinned()).toEqual({});
        expect(await store.unpin(ALPINE, tagRef('3'))).toBe(true);
      });

      it('are all looked at, however many', async () => {
        const images = Array.from({ length: 25 }, (_, n) => imageOf([], { note: String(n) }));
        for (const manifest of images) await store.pin(ALPINE, digestRef(manifest));
        expect(Object.keys(await pinned()).sort()).toEqual(sorted(...images));
      });
    });
  });
}
