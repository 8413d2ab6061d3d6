import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
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
});
