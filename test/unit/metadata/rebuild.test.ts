import { copyFile, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobFiles } from '../../../src/metadata/blob-files.ts';
import type { BlobRecord, MetadataStore } from '../../../src/metadata/metadata-store.ts';
import { rebuildIndex } from '../../../src/metadata/rebuild.ts';
import { RecordDirectory } from '../../../src/metadata/record-directory.ts';
import { formatRecordPath } from '../../../src/metadata/record-path.ts';
import type { RecordAddress } from '../../../src/metadata/record.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';
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
} from './content.ts';

const ALPINE = repositoryKey('library/alpine');
const MINE = repositoryKey('team/deep/app', 'registry.example:5000');
const REPOSITORIES = [ALPINE, MINE];

const [shared, own, evicted, found] = ['shared', 'own', 'evicted', 'found'].map((seed) => blobOf(seed));
const one = imageOf([shared!, own!]);
const two = imageOf([shared!], { note: 'two', algorithm: 'sha512' });
const gone = imageOf([evicted!], { note: 'gone' });
const index = indexOf([one, two, gone]);
const signature = imageOf([], { note: 'signature', subject: one });

/** All that the store tells, apart from when things were used and tags were checked. */
async function contentOf(store: MetadataStore): Promise<unknown> {
  const repositories = await Promise.all(
    REPOSITORIES.map(async (repository) => ({
      tags: await Promise.all(
        (await store.listTags(repository)).map(
          async (tag) => (await store.findTag(repository, tag))?.descriptor,
        ),
      ),
      manifests: await Promise.all(
        [one, two, gone, index, signature].map((manifest) =>
          store.findManifest(repository, digest(manifest)),
        ),
      ),
      blobs: await Promise.all(
        [shared, own, evicted, found].map((blob) => store.findBlob(repository, blob!.digest)),
      ),
      referrers: await store.listReferrers(repository, digest(one)),
      names: await store.listRepositories(repository.upstream, undefined, 100),
    })),
  );
  const pinned = Object.fromEntries(await store.pinnedContent());
  return { repositories, pinned, totals: await store.totals(), blobs: await collect(store.listBlobs()) };
}

describe('rebuildIndex', () => {
  let directory: TempDir;
  let root: string;
  let files: Map<string, BlobRecord>;
  let records: RecordDirectory;
  let stores: MetadataStore[];
  beforeEach(async () => {
    directory = await tempDir();
    root = join(directory.path, 'records');
    files = new Map([shared!, own!, found!].map((blob) => [blob.digest, blob]));
    records = new RecordDirectory(root, (error) => {
      throw error;
    });
    stores = [];
  });
  afterEach(async () => {
    for (const store of stores) await store.close();
    await directory[Symbol.asyncDispose]();
  });

  const blobs: BlobFiles = {
    stat: (wanted) => Promise.resolve(files.get(wanted)),
    list: async function* () {
      yield* await Promise.resolve(files.values());
    },
  };
  const open = () => {
    const opened = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    stores.push(opened.store);
    return opened;
  };
  const pathOf = (address: RecordAddress) => join(root, formatRecordPath(address));

  /** A store with a little history: things moved, were unlinked and evicted. */
  const filled = async () => {
    const { store } = open();
    await link(store, ALPINE, shared!, own!, evicted!);
    await link(store, MINE, shared!);
    await save(store, ALPINE, one, two, gone, index, signature);
    await store.linkManifest(MINE, digest(two));
    await save(store, MINE, one);
    await store.saveTag(ALPINE, tagRecord('latest', one, 1));
    await store.saveTag(ALPINE, tagRecord('latest', index, 2));
    await store.saveTag(ALPINE, tagRecord('gone', gone, 3));
    await store.saveTag(ALPINE, tagRecord('forgotten', one, 3));
    await store.saveTag(MINE, tagRecord('unlinked', one, 4));
    await store.saveTag(MINE, tagRecord('v1', two, 5));
    await store.forgetTag(ALPINE, tagOf('forgotten'));
    await store.unlinkManifest(MINE, digest(one));
    await store.evict({ kind: 'blob', digest: evicted!.digest });
    await store.recordFound([found!], 6);
    await store.pin(ALPINE, { kind: 'digest', digest: digest(one) });
    await store.pin(MINE, { kind: 'tag', tag: tagOf('v1') });
    await store.pin(MINE, { kind: 'tag', tag: tagOf('latest') });
    await store.unpin(MINE, { kind: 'tag', tag: tagOf('latest') });
    return store;
  };
  const lose = async (store: MetadataStore) => {
    await store.close();
    await rm(join(directory.path, 'index.db'));
  };

  it('tells how many files it has seen before it has seen all', async () => {
    const many: BlobFiles = {
      stat: (wanted) => blobs.stat(wanted),
      list: async function* () {
        yield* await Promise.resolve(manyBlobs(21_000));
      },
    };
    const seen: number[] = [];
    await rebuildIndex(open(), records, many, (counts) => void seen.push(counts.blobs));
    expect(seen).toEqual([10_000, 20_000, 21_000]);
  });

  it('gives the index that was lost', async () => {
    const before = await filled();
    const content = await contentOf(before);
    await lose(before);

    const opened = open();
    expect(opened.isNew).toBe(true);
    const counts = await rebuildIndex(opened, records, blobs);

    expect(await contentOf(opened.store)).toEqual(content);
    expect(counts).toEqual({ blobs: 3, manifests: 5, tags: 2, pins: 2, links: 3, skipped: 0 });
    expect((await opened.store.findTag(ALPINE, tagOf('latest')))?.checkedAt).toBe(0);
    await opened.store.close();
    expect(open().isNew).toBe(false);
  });

  it('gives an index that evicts as the lost one did', async () => {
    await lose(await filled());
    const opened = open();
    await rebuildIndex(opened, records, blobs);
    const { manifests } = await opened.store.evict({ kind: 'blob', digest: shared!.digest });
    expect([...manifests].sort()).toEqual([one, two, index].map(digest).sort());
  });

  it('links no blob whose file is gone, and keeps its manifests', async () => {
    await lose(await filled());
    files.delete(shared!.digest);
    const { store, ...opened } = open();
    const counts = await rebuildIndex(opened, records, blobs);
    expect(counts).toMatchObject({ blobs: 2, links: 1, skipped: 2 });
    expect(await store.findBlob(ALPINE, shared!.digest)).toBeUndefined();
    expect(await store.findBlob(ALPINE, own!.digest)).toEqual(own);
    expect(await store.findManifest(ALPINE, digest(one))).toBeDefined();
  });

  it('passes over torn records and records of other content', async () => {
    await lose(await filled());
    await truncate(pathOf({ kind: 'tag', repository: MINE, tag: tagOf('v1') }), 20);
    await copyFile(
      pathOf({ kind: 'manifest', repository: ALPINE, digest: digest(signature) }),
      pathOf({ kind: 'manifest', repository: ALPINE, digest: digest(one) }),
    );
    const { store, ...opened } = open();
    const counts = await rebuildIndex(opened, records, blobs);
    expect(counts).toMatchObject({ manifests: 4, tags: 1, skipped: 2 });
    expect(await store.findTag(MINE, tagOf('v1'))).toBeUndefined();
    expect(await store.findManifest(ALPINE, digest(one))).toBeUndefined();
    expect(await store.findManifest(ALPINE, digest(signature))).toBeDefined();
  });

  it('writes no record again', async () => {
    await lose(await filled());
    const written = async () => {
      const names = await readdir(root, { recursive: true });
      return Promise.all(names.sort().map(async (name) => [name, (await stat(join(root, name))).ino]));
    };
    const before = await written();
    await rebuildIndex(open(), records, blobs);
    expect(await written()).toEqual(before);
  });

  it('begins again where it was cut short', async () => {
    const before = await filled();
    const content = await contentOf(before);
    await lose(before);
    const first = open();
    const cutShort = { ...blobs, stat: () => Promise.reject(new Error('cut short')) };
    await expect(rebuildIndex(first, records, cutShort)).rejects.toThrow('cut short');
    await first.store.close();

    const second = open();
    expect(second.isNew).toBe(true);
    await rebuildIndex(second, records, blobs);
    expect(await contentOf(second.store)).toEqual(content);
  });

  it('tells how far it has come', async () => {
    await lose(await filled());
    const seen: number[] = [];
    await rebuildIndex(open(), records, blobs, (counts) => seen.push(counts.blobs));
    expect(seen).toEqual([3]);
  });
});

describe('the records beside the index', () => {
  it('are not written again when a tag was only checked', async () => {
    await using directory = await tempDir();
    const root = join(directory.path, 'records');
    const records = new RecordDirectory(root, () => undefined);
    const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    await store.saveTag(ALPINE, tagRecord('3', one, 1));
    const path = join(root, formatRecordPath({ kind: 'tag', repository: ALPINE, tag: tagOf('3') }));
    const { ino } = await stat(path);
    await store.saveTag(ALPINE, tagRecord('3', one, 2));
    expect((await stat(path)).ino).toBe(ino);
    expect((await store.findTag(ALPINE, tagOf('3')))?.checkedAt).toBe(2);
    await store.close();
  });

  it('go with what is forgotten, and leave nothing behind', async () => {
    await using directory = await tempDir();
    const root = join(directory.path, 'records');
    const records = new RecordDirectory(root, (error) => {
      throw error;
    });
    const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    await link(store, ALPINE, shared!, own!);
    await link(store, MINE, shared!);
    await save(store, ALPINE, one, index);
    await save(store, MINE, one);
    await store.saveTag(MINE, tagRecord('v1', one));
    await store.forgetBlob(own!.digest);
    await store.evict({ kind: 'blob', digest: shared!.digest });
    expect(await readdir(root, { recursive: true })).toEqual([]);
    await store.close();
  });

  it('go with what is purged, and those of pins stay', async () => {
    await using directory = await tempDir();
    const records = new RecordDirectory(join(directory.path, 'records'), (error) => {
      throw error;
    });
    const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    await link(store, ALPINE, shared!, own!);
    await link(store, MINE, own!);
    await save(store, ALPINE, one, index, signature);
    await store.saveTag(ALPINE, tagRecord('3', index));
    await store.saveTag(MINE, tagRecord('3', index));
    await store.pin(ALPINE, { kind: 'tag', tag: tagOf('3') });
    await store.purge(ALPINE, { kind: 'tag', tag: tagOf('3') });
    const left = await collect(records.list());
    expect(left.map(({ kind }) => kind).sort()).toEqual(['blob', 'pin', 'tag']);
    await store.purge(MINE, 'all');
    await store.unpin(ALPINE, { kind: 'tag', tag: tagOf('3') });
    expect(await collect(records.list())).toEqual([]);
    await store.close();
  });

  it('stay for what comes back while it is evicted', async () => {
    await using directory = await tempDir();
    const records = new RecordDirectory(join(directory.path, 'records'), (error) => {
      throw error;
    });
    const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    const addAll = () =>
      Promise.all([
        link(store, ALPINE, shared!),
        save(store, ALPINE, two),
        store.saveTag(ALPINE, tagRecord('2', two)),
      ]);
    await addAll();
    await Promise.all([store.evict({ kind: 'blob', digest: shared!.digest }), addAll()]);
    expect(await store.totals()).toMatchObject({ blobs: 1, manifests: 1 });
    const kinds = (await collect(records.list())).map((record) => record.kind);
    expect(kinds.sort()).toEqual(['blob', 'manifest', 'tag']);
    await store.close();
  });

  it('do not fail what they are written for', async () => {
    const errors: Error[] = [];
    await using directory = await tempDir();
    const root = join(directory.path, 'index.db', 'no-directory');
    const records = new RecordDirectory(root, (error) => errors.push(error));
    const { store } = openSqliteMetadataStore({ path: join(directory.path, 'index.db'), records });
    await link(store, ALPINE, own!);
    await save(store, ALPINE, one);
    await store.saveTag(ALPINE, tagRecord('3', one));
    expect(await store.findManifest(ALPINE, digest(one))).toBeDefined();
    expect(errors).toHaveLength(3);
    await store.close();
  });
});
