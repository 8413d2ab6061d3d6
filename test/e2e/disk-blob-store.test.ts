/** The store of blobs on real disks that take nothing any more. */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BufferPool } from '../../src/blobs/buffers.ts';
import { DiskBlobStore } from '../../src/blobs/disk-blob-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { randomBytes } from '../support/images.ts';
import { failingDisk, smallDisk } from '../support/mounted-disk.ts';

const MIB = 1024 * 1024;

async function incoming(directory: string, seed: number) {
  const bytes = randomBytes(seed, 10_000);
  const path = join(directory, `incoming-${seed}`);
  await writeFile(path, bytes);
  return { digest: digestOf(bytes), size: bytes.length, path };
}

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

describe('DiskBlobStore on a full disk', () => {
  it('opens where its directories are, and leaves nothing of what it can not take', async () => {
    await using disk = await failingDisk(16 * MIB);
    const first = await DiskBlobStore.open(disk.dataDir, new BufferPool());
    const held = await incoming(disk.dataDir, 1);
    await first.adopt(held);
    const refused = await incoming(disk.dataDir, 2);
    await disk.fill();

    const store = await DiskBlobStore.open(disk.dataDir, new BufferPool());
    expect(await store.stat(held.digest)).toEqual({ digest: held.digest, size: held.size });
    await expect(store.adopt(refused)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(await isThere(refused.path)).toBe(false);
    expect(await store.stat(refused.digest)).toBeUndefined();
    expect(await Array.fromAsync(store.list())).toHaveLength(1);
    // To delete needs no room.
    expect(await store.delete(held.digest)).toBe(true);
  });
});

describe('DiskBlobStore on a read-only disk', () => {
  it('gives out what it has, and says why it can not take more', async () => {
    await using disk = await smallDisk(MIB);
    const store = await DiskBlobStore.open(disk.dataDir, new BufferPool());
    const held = await incoming(disk.dataDir, 1);
    await store.adopt(held);
    const refused = await incoming(disk.dataDir, 2);
    await disk.makeReadOnly();

    await expect(store.adopt(refused)).rejects.toMatchObject({ code: 'EROFS', syscall: 'mkdir' });
    expect(await store.stat(refused.digest)).toBeUndefined();
    const content = await store.open(held.digest);
    expect(content?.size).toBe(held.size);
    await content?.close();
    await expect(store.delete(held.digest)).rejects.toMatchObject({ code: 'EROFS' });

    // And opens there: what it needs is there already.
    const again = await DiskBlobStore.open(disk.dataDir, new BufferPool());
    expect(await again.stat(held.digest)).toBeDefined();
  });
});
