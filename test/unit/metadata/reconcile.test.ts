import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobRecord, MetadataStore } from '../../../src/metadata/metadata-store.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { reconcileIndex } from '../../../src/metadata/reconcile.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { blobOf, collect, digest, imageOf, link, manyBlobs, repositoryKey, save } from './content.ts';

const ALPINE = repositoryKey('library/alpine');

function filesOf(blobs: Iterable<BlobRecord>) {
  const files = new Map(Array.from(blobs, (blob) => [blob.digest, blob]));
  return {
    stat: (wanted: Digest) => Promise.resolve(files.get(wanted)),
    delete: (wanted: Digest) => Promise.resolve(files.delete(wanted)),
    list: async function* () {
      yield* await Promise.resolve(files.values());
    },
  };
}

describe('reconcileIndex', () => {
  let store: MetadataStore;
  beforeEach(() => {
    ({ store } = openSqliteMetadataStore({ path: ':memory:', clock: () => 1 }));
  });
  afterEach(() => store.close());

  it('changes nothing where rows and files agree', async () => {
    await link(store, ALPINE, blobOf('a'));
    const counts = await reconcileIndex(store, filesOf([blobOf('a')]));
    expect(counts).toEqual({ recorded: 0, forgotten: 0 });
    expect(await store.findBlob(ALPINE, blobOf('a').digest)).toEqual(blobOf('a'));
  });

  it('records files without a row, as used now', async () => {
    const counts = await reconcileIndex(store, filesOf([blobOf('a', 5), blobOf('b', 6)]), () => 77);
    expect(counts).toEqual({ recorded: 2, forgotten: 0 });
    expect(await store.totals()).toMatchObject({ blobs: 2, blobBytes: 11 });
    expect((await store.leastRecentlyUsed(1))[0]?.usedAt).toBe(77);
  });

  it('forgets rows without a file, and keeps their manifests', async () => {
    const image = imageOf([blobOf('a')]);
    await link(store, ALPINE, blobOf('a'), blobOf('b'));
    await save(store, ALPINE, image);
    const counts = await reconcileIndex(store, filesOf([blobOf('b')]));
    expect(counts).toEqual({ recorded: 0, forgotten: 1 });
    expect(await store.findBlob(ALPINE, blobOf('a').digest)).toBeUndefined();
    expect(await store.findBlob(ALPINE, blobOf('b').digest)).toBeDefined();
    expect(await store.findManifest(ALPINE, digest(image))).toBeDefined();
  });

  it('deletes a file of another size than was verified', async () => {
    await link(store, ALPINE, blobOf('a', 5));
    const files = filesOf([blobOf('a', 4)]);
    const counts = await reconcileIndex(store, files);
    expect(counts).toEqual({ recorded: 0, forgotten: 1 });
    expect(await store.findBlob(ALPINE, blobOf('a').digest)).toBeUndefined();
    expect(await collect(store.listBlobs())).toEqual([]);
    expect(await files.stat(blobOf('a').digest)).toBeUndefined();
  });

  it('stops with the reason when it is aborted', async () => {
    await link(store, ALPINE, blobOf('a'));
    const aborted = AbortSignal.abort(new Error('stopping'));
    await expect(reconcileIndex(store, filesOf([]), () => 1, aborted)).rejects.toThrow('stopping');
    expect(await store.findBlob(ALPINE, blobOf('a').digest)).toBeDefined();
  });

  it('keeps a row for what is downloaded while it looks', async () => {
    await store.recordFound([blobOf('a', 5)], 1);
    let isThere = false;
    const files = {
      ...filesOf([]),
      stat: async () => {
        if (isThere) return blobOf('a', 5);
        isThere = true;
        await link(store, ALPINE, blobOf('a', 5));
        return undefined;
      },
    };
    await reconcileIndex(store, files);
    expect(await collect(store.listBlobs())).toEqual([blobOf('a', 5)]);
  });

  it('works through more than a page of each', async () => {
    const all = [...manyBlobs(3000)];
    await store.recordFound(all.slice(0, 2000), 1);
    const counts = await reconcileIndex(store, filesOf(all.slice(1000)));
    expect(counts).toEqual({ recorded: 1000, forgotten: 1000 });
    const held = (await collect(store.listBlobs())).map(digest);
    expect(held.sort()).toEqual(all.slice(1000).map(digest).sort());
  });
});
