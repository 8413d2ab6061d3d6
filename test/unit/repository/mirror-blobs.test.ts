import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
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
