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

  it('tells how far each is: who waits for a place, what comes in, and what is over no more', async () => {
    const { promise: more, resolve: release } = Promise.withResolvers<undefined>();
    const { promise: half, resolve: halfIsRead } = Promise.withResolvers<undefined>();
    async function* inHalves() {
      yield bytes.subarray(0, 200_000);
      halfIsRead(undefined);
      await more;
      yield bytes.subarray(200_000);
    }
    const body = () => Readable.from(inHalves(), { highWaterMark: 1 });
    const slow = upstreamOf(contents, {
      fetchBlob: () => Promise.resolve({ size: bytes.length, offset: 0, body: body() }),
    });
    const other = randomBytes('other', 1000);
    await using cache = await openBlobMirror({ upstream: slow, places: 1 });
    const before = Date.now();
    const coming = cache.downloads.start({ upstream: slow, repository: ONE, digest, client: 'a' });
    const upstream = upstreamOf(new Map([[digestOf(other), other]]));
    const order = { upstream, repository: TWO, digest: digestOf(other), client: 'b' };
    const waiting = cache.downloads.start(order);
    using _one = coming.want();
    using _two = coming.want();
    using _three = waiting.want();
    await half;
    const startedAt = expect.toSatisfy((at: number) => at >= before && at <= Date.now()) as number;
    await expect
      .poll(() => cache.downloads.list())
      .toEqual([
        {
          ...{ digest, repository: ONE, state: 'running', startedAt },
          ...{ bytes: 200_000, size: bytes.length, clients: 2 },
        },
        {
          ...{ digest: digestOf(other), repository: TWO, state: 'queued', startedAt },
          ...{ bytes: 0, size: undefined, clients: 1 },
        },
      ]);
    release(undefined);
    await Promise.all([coming.settled, waiting.settled]);
    expect(cache.downloads.list()).toEqual([]);
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
