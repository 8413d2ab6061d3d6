import type * as fs from 'node:fs/promises';
import { access, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { BufferPool } from '../../../src/blobs/buffers.ts';
import { DiskBlobStore } from '../../../src/blobs/disk-blob-store.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { tempDir } from '../../support/temp-dir.ts';

// No disk can be made to fail between two of its calls.
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof fs>();
  return { ...real, open: vi.fn(real.open), rename: vi.fn(real.rename) };
});

async function makeStore(directory: string) {
  const unsynced: Error[] = [];
  const store = await DiskBlobStore.open(join(directory, 'blobs'), new BufferPool(), (error) => {
    unsynced.push(error);
  });
  const bytes = Buffer.from('some bytes');
  const path = join(directory, 'incoming');
  await writeFile(path, bytes);
  return { store, unsynced, file: { digest: digestOf(bytes), size: bytes.length, path } };
}

describe('DiskBlobStore.adopt', () => {
  it('keeps a blob whose name could not be synced, and tells of it', async () => {
    await using directory = await tempDir();
    const { store, unsynced, file } = await makeStore(directory.path);
    const failure = Object.assign(new Error('EIO: i/o error, open'), { code: 'EIO' });
    vi.mocked(open).mockRejectedValueOnce(failure);
    await store.adopt(file);
    expect(await store.stat(file.digest)).toEqual({ digest: file.digest, size: file.size });
    expect(unsynced).toMatchObject([{ cause: failure }]);
  });

  it('leaves nothing where the file can not be moved', async () => {
    await using directory = await tempDir();
    const { store, unsynced, file } = await makeStore(directory.path);
    const failure = Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO' });
    vi.mocked(rename).mockRejectedValueOnce(failure);
    await expect(store.adopt(file)).rejects.toBe(failure);
    await expect(access(file.path)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await Array.fromAsync(store.list())).toEqual([]);
    expect(unsynced).toEqual([]);
  });
});
