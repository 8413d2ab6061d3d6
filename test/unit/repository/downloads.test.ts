import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import type { UpstreamBlob } from '../../../src/upstream/upstream.ts';
import { openBlobMirror, readAll, repositoryKey, upstreamOf } from '../../support/blob-mirror.ts';
import { randomBytes } from '../../support/images.ts';

const bytes = randomBytes('download', 500_000);
const digest = digestOf(bytes);
const contents = new Map<Digest, Buffer>([[digest, bytes]]);
const [ONE, TWO] = [repositoryKey('team/one'), repositoryKey('team/two')];

describe('Downloads', () => {
  it('counts a blob once while it passes from its reservation to its row', async () => {
    const linkingTwo = Promise.withResolvers<undefined>();
    const release = Promise.withResolvers<undefined>();
    await using cache = await openBlobMirror({
      upstream: upstreamOf(contents),
      wrap: (store) => {
        const linkBlob = store.linkBlob.bind(store);
        store.linkBlob = async (repository, blob) => {
          if (repository.name === TWO.name) {
            linkingTwo.resolve(undefined);
            await release.promise;
          }
          await linkBlob(repository, blob);
        };
        return store;
      },
    });
    const download = cache.downloads.start({
      upstream: upstreamOf(contents),
      repository: ONE,
      digest,
      client: 'a',
    });
    download.admit(TWO);
    await linkingTwo.promise;
    expect(await cache.space.usage()).toMatchObject({ used: bytes.length, reserved: 0 });
    release.resolve(undefined);
    await download.settled;
    expect(await cache.metadata.findBlob(TWO, digest)).toEqual({ digest, size: bytes.length });
    expect(await cache.space.usage()).toMatchObject({ used: bytes.length, reserved: 0 });
  });

  it('gives back what was reserved when a download fails', async () => {
    const wrong = new Map([[digest, randomBytes('other', 500_000)]]);
    await using cache = await openBlobMirror({ upstream: upstreamOf(wrong) });
    await expect(readAll(cache.mirror, ONE, digest)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect.poll(() => cache.downloads.count).toBe(0);
    expect(await cache.space.usage()).toMatchObject({ used: 0, reserved: 0 });
    expect(cache.events.at(-1)).toMatchObject({ kind: 'ended', outcome: 'mismatch' });
  });

  it('passes a blob through, and lets go of the answer, where room can not even be looked for', async () => {
    const asked: UpstreamBlob[] = [];
    const upstream = upstreamOf(contents);
    const fetchBlob = async (...question: Parameters<typeof upstream.fetchBlob>) => {
      const blob = await upstream.fetchBlob(...question);
      if (blob) asked.push(blob);
      return blob;
    };
    await using cache = await openBlobMirror({
      upstream: { ...upstream, fetchBlob },
      wrap: (store) => Object.assign(store, { totals: () => Promise.reject(new Error('disk I/O error')) }),
    });
    expect((await readAll(cache.mirror, ONE, digest)).equals(bytes)).toBe(true);
    expect(asked.map(({ body }) => body instanceof Readable && body.destroyed)).toEqual([true]);
    expect(cache.events.find(({ kind }) => kind === 'ended')).toMatchObject({ outcome: 'uncached' });
  });

  it('ends at once what is started after the grace time of its end', async () => {
    const silent = upstreamOf(contents, {
      fetchBlob: (_repository, _digest, _offset, signal) =>
        new Promise((_resolve, reject) => {
          if (signal.aborted) reject(signal.reason as Error);
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    });
    await using cache = await openBlobMirror({ upstream: silent });
    await cache.downloads.close(AbortSignal.abort());
    const download = cache.downloads.start({ upstream: silent, repository: ONE, digest, client: 'a' });
    await expect(download.started).rejects.toMatchObject({ failure: 'offline' });
    await download.settled;
    expect(cache.events.at(-1)).toMatchObject({ kind: 'ended', outcome: 'aborted' });
  });
});
