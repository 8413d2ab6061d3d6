/** What every BlobStore promises. */
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BlobContent, BlobStore } from '../../src/blobs/blob-store.ts';
import { digestOf, type Digest, type DigestAlgorithm } from '../../src/oci/digest.ts';
import { randomBytes } from '../support/images.ts';
import { Collector, StalledSink } from '../support/sinks.ts';

export interface OpenedBlobStore extends AsyncDisposable {
  readonly store: BlobStore;
  /** Where files to be adopted may be made. */
  readonly directory: string;
}

async function put(
  { store, directory }: OpenedBlobStore,
  bytes: Buffer,
  algorithm: DigestAlgorithm = 'sha256',
) {
  const digest = digestOf(bytes, algorithm);
  const path = join(directory, `incoming-${Math.random()}`);
  await writeFile(path, bytes);
  await store.adopt({ digest, size: bytes.length, path });
  return { digest, path };
}

type Read = (content: BlobContent, range?: { start: number; end: number }) => Promise<Buffer>;

async function readFromStream(...[content, range]: Parameters<Read>): Promise<Buffer> {
  const sink = new Collector();
  await content.sendTo(sink, range);
  return sink.bytes;
}

async function list(store: BlobStore): Promise<{ digest: Digest; size: number }[]> {
  const found = await Array.fromAsync(store.list());
  return found.sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** @param read how its bytes get to somebody */
export function blobStoreContract(
  name: string,
  open: () => Promise<OpenedBlobStore>,
  read: Read = readFromStream,
): void {
  describe(`${name} as a BlobStore`, () => {
    it('knows nothing of a digest that it was never given', async () => {
      await using opened = await open();
      const { store } = opened;
      const digest = digestOf(Buffer.from('nothing'));
      expect(await store.stat(digest)).toBeUndefined();
      expect(await store.open(digest)).toBeUndefined();
      expect(await store.delete(digest)).toBe(false);
      expect(await list(store)).toEqual([]);
    });

    it('takes the file that it adopts and gives back its bytes, all or a range', async () => {
      await using opened = await open();
      for (const size of [0, 1, 5000, 70_000, 1_000_001]) {
        const bytes = randomBytes(size, size);
        const { digest, path } = await put(opened, bytes);
        await expect(access(path)).rejects.toThrow();
        expect(await opened.store.stat(digest)).toEqual({ digest, size });
        const content = await opened.store.open(digest);
        expect(content?.size).toBe(size);
        expect((await read(content!)).equals(bytes)).toBe(true);
        if (size > 1) {
          const range = { start: Math.floor(size / 3), end: Math.floor(size / 2) };
          expect((await read(content!, range)).equals(bytes.subarray(range.start, range.end))).toBe(true);
          expect(
            (await read(content!, { start: size - 1, end: size })).equals(bytes.subarray(size - 1)),
          ).toBe(true);
        }
        await content!.close();
      }
    });

    it('adopts the same digest again without harm, and sha512 as well', async () => {
      await using opened = await open();
      const bytes = randomBytes(1, 1000);
      const { digest } = await put(opened, bytes);
      await put(opened, bytes);
      const other = await put(opened, bytes, 'sha512');
      expect(await list(opened.store)).toEqual([
        { digest, size: 1000 },
        { digest: other.digest, size: 1000 },
      ]);
    });

    it('lets a reader finish what is deleted under it, and many read at once', async () => {
      await using opened = await open();
      const bytes = randomBytes(2, 3_000_000);
      const { digest } = await put(opened, bytes);
      const content = await opened.store.open(digest);
      expect(await opened.store.delete(digest)).toBe(true);
      expect(await opened.store.stat(digest)).toBeUndefined();
      expect(await opened.store.open(digest)).toBeUndefined();
      const reads = await Promise.all(Array.from({ length: 20 }, () => read(content!)));
      expect(reads.every((got) => got.equals(bytes))).toBe(true);
      await content!.close();
    });

    it('gives up a transfer whose receiver goes away, and says that it was the receiver', async () => {
      await using opened = await open();
      const { digest } = await put(opened, randomBytes(3, 3_000_000));
      const content = await opened.store.open(digest);
      const sink = new StalledSink();
      const sent = content!.sendTo(sink);
      await sink.stalled.promise;
      sink.destroy();
      await expect(sent).rejects.toMatchObject({ name: 'SinkClosedError' });
      await content!.close();
    });
  });
}
