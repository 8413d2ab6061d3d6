import { cp, mkdir, readdir, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DiskReserve } from '../../src/metadata/disk-reserve.ts';
import {
  openSqliteMetadataStore,
  type OpenedMetadataStore,
} from '../../src/metadata/sqlite-metadata-store.ts';
import { smallDisk, type SmallDisk } from '../support/mounted-disk.ts';
import { tempDir } from '../support/temp-dir.ts';
import { manyBlobs } from '../unit/metadata/content.ts';

const MIB = 1024 * 1024;
let disk: SmallDisk;
let path: string;
let opened: OpenedMetadataStore[];

beforeEach(async () => {
  disk = await smallDisk(48 * MIB);
  path = join(disk.dataDir, 'index.sqlite');
  opened = [];
});

afterEach(async () => {
  for (const { store } of opened) await store.close();
  await disk[Symbol.asyncDispose]();
});

async function freeBytes(): Promise<number> {
  const { bavail, bsize } = await statfs(disk.dataDir);
  return bavail * bsize;
}

function open(at = path): OpenedMetadataStore {
  const one = openSqliteMetadataStore({ path: at });
  opened.push(one);
  return one;
}

/** Ten thousand blobs, closed in order, and the disk full since. */
async function filled({ withReserve }: { readonly withReserve: boolean }): Promise<void> {
  const first = open();
  first.rebuilt();
  await first.store.recordFound(manyBlobs(10_000), 1);
  if (withReserve) expect(await first.restoreReserve()).toBe(true);
  await first.store.close();
  await disk.fill();
}

/** Until nothing is left; each frees a file elsewhere, and nothing here. */
async function evictAll({ store }: OpenedMetadataStore): Promise<void> {
  for (;;) {
    const candidates = await store.leastRecentlyUsed(100);
    if (candidates.length === 0) return;
    for (const candidate of candidates) await store.evict(candidate);
  }
}

describe('an index on a full disk', () => {
  it('is opened, and evicts all that it has, in the room that was kept for it', async () => {
    await filled({ withReserve: true });
    const second = open();
    expect(second).toMatchObject({ isNew: false, wasClean: true, setAside: undefined });
    // Somebody takes all that it did not need at once.
    await disk.fill();
    await second.store.recordAccess(
      [...manyBlobs(10)].map(({ digest }) => digest),
      2,
    );
    await evictAll(second);
    expect(await second.store.totals()).toMatchObject({ blobs: 0, blobBytes: 0 });
    expect(await freeBytes()).toBeLessThan(MIB);
  });

  it('is known as not closed from its opening on, whatever happens then', async () => {
    await filled({ withReserve: true });
    open();
    await using elsewhere = await tempDir();
    const copy = join(elsewhere.path, 'killed');
    await mkdir(copy);
    for (const suffix of ['', '-wal']) await cp(path + suffix, join(copy, `index.sqlite${suffix}`));
    expect(open(join(copy, 'index.sqlite')).wasClean).toBe(false);
  });

  it('is opened without any room where the process before it was killed', async () => {
    const first = open();
    first.rebuilt();
    await first.store.recordFound(manyBlobs(100), 1);
    // Its map and its log are there, as a kill leaves them; it is the same file for as long as this one has it open.
    await disk.fill();
    const second = open();
    expect(second.wasClean).toBe(false);
    expect(await second.store.totals()).toMatchObject({ blobs: 100 });
  });

  it('takes the room that is kept for it when the disk becomes full while it is in use', async () => {
    const first = open();
    first.rebuilt();
    expect(await first.restoreReserve()).toBe(true);
    await first.store.recordFound(manyBlobs(1000), 1);
    await disk.fill();
    await evictAll(first);
    expect(await first.store.totals()).toMatchObject({ blobs: 0 });
    // Nothing that failed for good: it is closed as sound, and its file counts as clean.
    await disk.clear();
    await first.store.close();
    expect(open().wasClean).toBe(true);
  });

  it('says that the disk is full where no room was kept', async () => {
    await filled({ withReserve: false });
    expect(() => open()).toThrow(/index\.sqlite can't be opened: the disk is full$/);
    await disk.clear();
    expect(open()).toMatchObject({ isNew: false, wasClean: true });
  });

  it('rejects what it can not write, and is not closed as clean then', async () => {
    const first = open();
    first.rebuilt();
    await disk.fill();
    await expect(first.store.recordFound(manyBlobs(100_000), 1)).rejects.toThrow(/full/);
    await disk.clear();
    await first.store.close();
    expect(open().wasClean).toBe(false);
  });
});

describe('the room that is kept for the index', () => {
  it('is taken once, given in parts, and taken again', async () => {
    const reserve = new DiskReserve(path);
    expect(reserve.release()).toBe(false);
    const before = await freeBytes();
    expect(await reserve.restore()).toBe(true);
    expect(before - (await freeBytes())).toBe(8 * MIB);
    const { mtimeMs } = await stat(`${path}.reserve`);
    expect(await reserve.restore()).toBe(true);
    expect((await stat(`${path}.reserve`)).mtimeMs).toBe(mtimeMs);
    for (let part = 1; part <= 8; part += 1) {
      expect(reserve.release()).toBe(true);
      expect(before - (await freeBytes())).toBe((8 - part) * MIB);
    }
    expect(reserve.release()).toBe(false);
    expect(await readdir(disk.dataDir)).toEqual([]);
    expect(await reserve.restore()).toBe(true);
  });

  it.each([0, 12])('is not taken where it would be of the last, with %i MiB free', async (mebibytes) => {
    const others = join(disk.dataDir, 'others');
    await writeFile(others, Buffer.alloc((await freeBytes()) - mebibytes * MIB));
    expect(await new DiskReserve(path).restore()).toBe(false);
    expect(await readdir(disk.dataDir)).toEqual(['others']);
  });

  it('is made whole where its making was cut short', async () => {
    const reserve = new DiskReserve(path);
    await cp(import.meta.filename, `${path}.reserve`);
    expect(await reserve.restore()).toBe(true);
    expect((await stat(`${path}.reserve`)).size).toBe(8 * MIB);
  });

  it('is reported where it can not be made for another reason', async () => {
    await mkdir(`${path}.reserve`);
    await expect(new DiskReserve(path).restore()).rejects.toThrow(
      /can't be kept in .*index\.sqlite\.reserve/,
    );
  });
});
