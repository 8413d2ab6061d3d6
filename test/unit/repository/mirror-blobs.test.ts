import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BlobReadError, type BlobContent } from '../../../src/blobs/blob-store.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { UpstreamError } from '../../../src/upstream/upstream.ts';
import { openBlobMirror, readAll, repositoryKey, upstreamOf } from '../../support/blob-mirror.ts';
import { randomBytes } from '../../support/images.ts';

const bytes = randomBytes('blob', 100_000);
const digest = digestOf(bytes);
const contents = new Map<Digest, Buffer>([[digest, bytes]]);
const REPOSITORY = repositoryKey('team/one');

async function put(
  { directory, blobs }: Awaited<ReturnType<typeof openBlobMirror>>,
  stored: Buffer,
): Promise<void> {
  const path = join(directory, 'incoming');
  await writeFile(path, stored);
  await blobs.adopt({ digest, size: stored.length, path });
}

describe('MirrorBlobs', () => {
  it('takes no stored file for the blob that is not as long as upstream says, and fetches it', async () => {
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents) });
    await put(cache, bytes.subarray(0, 1000));
    await cache.metadata.recordFound([{ digest, size: 1000 }], 1);
    expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
    expect(cache.lost).toEqual([digest]);
  });

  it('links nothing, when only asked for the size, that an eviction is taking away', async () => {
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents) });
    await put(cache, bytes);
    const eviction = cache.leases.tryExclusive(digest);
    const asked = cache.mirror.stat(REPOSITORY, digest);
    // Time enough to do it wrong: upstream has answered, and the file is still there.
    await setImmediate();
    await cache.blobs.delete(digest);
    eviction?.[Symbol.dispose]();
    expect(await asked).toEqual({ size: bytes.length, source: 'miss' });
    expect(await cache.metadata.findBlob(REPOSITORY, digest)).toBeUndefined();
  });

  it('asks upstream for a blob once for all who want it at the same moment, and for nothing else', async () => {
    const upstream = upstreamOf(contents);
    let fetches = 0;
    await using cache = await openBlobMirror({
      upstream: {
        ...upstream,
        fetchBlob: (...question) => {
          fetches += 1;
          return upstream.fetchBlob(...question);
        },
        // As one that is left alone but for the one request that finds out whether it answers again.
        statBlob: () => Promise.reject(new UpstreamError('unreachable', 'asked once too often')),
      },
    });
    const read = await Promise.all(
      Array.from({ length: 5 }, () => readAll(cache.mirror, REPOSITORY, digest)),
    );
    expect(read.every((one) => one.equals(bytes))).toBe(true);
    expect(fetches).toBe(1);
  });

  it('serves what is here although the index can not be written', async () => {
    await using cache = await openBlobMirror({
      upstream: upstreamOf(contents),
      wrap: (store) => Object.assign(store, { linkBlob: () => Promise.resolve() }),
    });
    await put(cache, bytes);
    expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
    expect(cache.events).toEqual([]);
  });
});

/** Of which no byte from there on can be read. */
function unreadableFrom(position: number): BlobContent {
  return {
    size: bytes.length,
    sendTo: (sink, range) => {
      const start = range?.start ?? 0;
      if (start < position) sink.write(bytes.subarray(start, position));
      return Promise.reject(new BlobReadError(Math.max(start, position), { cause: new Error('EIO') }));
    },
    close: () => Promise.resolve(),
  };
}

type Cache = Awaited<ReturnType<typeof openBlobMirror>>;

/** In the store and in the index, with a sector that the disk has lost. */
async function putUnreadable(cache: Cache, position: number): Promise<void> {
  await put(cache, bytes);
  await cache.metadata.linkBlob(REPOSITORY, { digest, size: bytes.length });
  const [open, adopt] = [cache.blobs.open.bind(cache.blobs), cache.blobs.adopt.bind(cache.blobs)];
  let isMended = false;
  cache.blobs.adopt = async (file) => {
    await adopt(file);
    // What is fetched anew lies somewhere else.
    isMended = true;
  };
  cache.blobs.open = async (asked) => {
    const content = await open(asked);
    return content && !isMended ? unreadableFrom(position) : content;
  };
}

describe('A stored blob that the disk has lost', () => {
  it.each([0, 1000, bytes.length - 1])('in part goes on from upstream: from byte %d on', async (position) => {
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents) });
    await putUnreadable(cache, position);
    expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
    expect(cache.lost).toEqual([digest]);
    await expect.poll(() => cache.downloads.count).toBe(0);
    expect(cache.events.at(-1)).toMatchObject({ kind: 'ended', outcome: 'stored' });
  });

  it('and that can not even be opened comes from upstream', async () => {
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents) });
    await put(cache, bytes);
    await cache.metadata.linkBlob(REPOSITORY, { digest, size: bytes.length });
    const error = new Error('EIO');
    cache.blobs.open = () => Promise.reject(error);
    cache.blobs.stat = () => Promise.reject(error);
    expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
    expect(cache.unreadable).toContain(error);
  });

  /** As one that was remounted read-only because of the sector that it has lost. */
  const refuseToDelete = (cache: Cache) => {
    cache.blobs.delete = () => Promise.reject(new Error('EROFS'));
    cache.blobs.adopt = () => Promise.reject(new Error('EROFS'));
  };

  it('in part, and does not let go of, comes from upstream each time', async () => {
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents) });
    await putUnreadable(cache, 1000);
    refuseToDelete(cache);
    for (let round = 0; round < 3; round += 1) {
      expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
      await expect.poll(() => cache.downloads.count).toBe(0);
    }
  });

  it('but for its beginning, and does not let go of, comes from upstream each time', async () => {
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents) });
    await put(cache, bytes.subarray(0, 1000));
    await cache.metadata.linkBlob(REPOSITORY, { digest, size: bytes.length });
    refuseToDelete(cache);
    for (let round = 0; round < 3; round += 1) {
      expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
      await expect.poll(() => cache.downloads.count).toBe(0);
    }
  });
});

describe('An upstream that says another size of a blob that is here and whole', () => {
  it('is refused, and costs others nothing', async () => {
    const statBlob = () => Promise.resolve({ size: bytes.length + 1 });
    await using cache = await openBlobMirror({ upstream: upstreamOf(contents, { statBlob }) });
    await put(cache, bytes);
    const other = repositoryKey('team/two');
    await cache.metadata.linkBlob(REPOSITORY, { digest, size: bytes.length });
    await expect(readAll(cache.mirror, other, digest)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 502,
    });
    expect(await cache.metadata.findBlob(other, digest)).toBeUndefined();
    expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
    expect([cache.lost, cache.events]).toEqual([[], []]);
  });
});
