import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { HotBlobStore } from '../../../src/blobs/hot-blob-store.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MemoryBlobStore } from '../../support/memory-blob-store.ts';
import { tempDir } from '../../support/temp-dir.ts';

const bytes = Buffer.from('a small blob');
const digest = digestOf(bytes);

async function storeWithOneBlob(directory: string) {
  const cold = new MemoryBlobStore();
  const path = join(directory, 'incoming');
  await writeFile(path, bytes);
  await cold.adopt({ digest, size: bytes.length, path });
  return { cold, hot: new HotBlobStore(cold, 1_000_000) };
}

describe('HotBlobStore', () => {
  it('asks the store behind it once for a small blob', async () => {
    await using directory = await tempDir();
    const { cold, hot } = await storeWithOneBlob(directory.path);
    await (await hot.open(digest))?.close();
    await cold.delete(digest);
    expect((await hot.open(digest))?.size).toBe(bytes.length);
  });

  it('does not keep what was deleted while it was being read', async () => {
    await using directory = await tempDir();
    const { hot } = await storeWithOneBlob(directory.path);
    const opening = hot.open(digest);
    await hot.delete(digest);
    await opening;
    expect(await hot.open(digest)).toBeUndefined();
  });

  it('does not keep what was read while it was being deleted: it may be deleted because it is wrong', async () => {
    await using directory = await tempDir();
    const { cold, hot } = await storeWithOneBlob(directory.path);
    const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
    const remove = cold.delete.bind(cold);
    vi.spyOn(cold, 'delete').mockImplementation(async (wanted) => {
      await released;
      return remove(wanted);
    });
    const deleting = hot.delete(digest);
    await (await hot.open(digest))?.close();
    release(undefined);
    expect(await deleting).toBe(true);
    expect(await hot.open(digest)).toBeUndefined();
  });

  it.each([
    ['a deletion', () => Promise.resolve(true)],
    ['a deletion that fails', () => Promise.reject(new Error('the disk is read-only'))],
  ])('tells of %s when it begins and when it is over', async (_what, remove) => {
    const cold = new MemoryBlobStore();
    const dropped: string[] = [];
    const hot = new HotBlobStore(cold, 1_000_000, (key) => dropped.push(key));
    vi.spyOn(cold, 'delete').mockImplementation(() => {
      expect(dropped).toEqual([digest]);
      return remove();
    });
    await hot.delete(digest).catch(() => undefined);
    expect(dropped).toEqual([digest, digest]);
  });

  it('has the bytes of a small blob at hand, and of no large one', async () => {
    await using directory = await tempDir();
    const { cold, hot } = await storeWithOneBlob(directory.path);
    for (const _again of [1, 2]) expect((await hot.open(digest))?.bytes).toEqual(bytes);
    const large = Buffer.alloc(64 * 1024 + 1);
    const path = join(directory.path, 'large');
    await writeFile(path, large);
    await cold.adopt({ digest: digestOf(large), size: large.length, path });
    const content = await hot.open(digestOf(large));
    expect([content?.size, content?.bytes]).toEqual([large.length, undefined]);
    await content?.close();
  });
});
