import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobView } from '../../../src/admin/views.ts';
import { buildImage, buildIndex, contentOf, type Pushable } from '../../support/images.ts';
import { openWorld, type World } from './world.ts';

const amd64 = buildImage({ seed: 'amd64', architecture: 'amd64' });
const arm64 = buildImage({ seed: 'arm64', architecture: 'arm64' });
const attestation = buildImage({ seed: 'attestation' });
const index = buildIndex([
  { image: amd64, platform: { os: 'linux', architecture: 'amd64' } },
  { image: arm64, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
  { image: attestation, platform: { os: 'unknown', architecture: 'unknown' } },
]);
const digestsOf = (...images: Pushable[]) =>
  images.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)).sort();

describe('a prefetch', () => {
  let world: World;

  beforeEach(async () => {
    world = await openWorld();
    world.hub.push('library/multi', index, '1');
    world.hub.push('library/single', amd64, '1');
  });

  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  const run = async (references: string[], platforms: string[] = []): Promise<JobView> =>
    world.ended(world.actions.prefetch({ references, platforms }));

  it('fetches all platforms with their blobs, and nothing that describes them', async () => {
    const job = await run(['multi:1']);
    expect(job).toMatchObject({ kind: 'prefetch', state: 'succeeded' });
    const [reference] = job.prefetch!;
    expect(reference).toMatchObject({
      ...{ reference: 'library/multi:1', state: 'done', digest: index.manifest.digest },
    });
    expect(reference!.blobs.map(({ digest }) => digest).sort()).toEqual(digestsOf(amd64, arm64));
    for (const { state, bytes, size, platform } of reference!.blobs) {
      expect({ state, bytes, platform }).toEqual({
        ...{
          state: 'done',
          bytes: size,
          platform: expect.stringMatching(/^linux\/(amd64|arm64\/v8)$/) as string,
        },
      });
    }
    world.hub.fetched.length = 0;
    for (const image of [amd64, arm64]) await world.pull(`multi@${image.manifest.digest}`);
    expect(world.hub.fetched).toEqual([]);
    for (const { digest } of attestation.blobs) expect(await world.blobs.stat(digest)).toBeUndefined();
  });

  it('fetches the wanted platforms alone', async () => {
    const { prefetch } = await run(['multi:1'], ['linux/arm64']);
    expect(prefetch![0]!.blobs.map(({ digest }) => digest).sort()).toEqual(digestsOf(arm64));
    expect(world.hub.fetched).not.toContain(amd64.manifest.digest);
  });

  it('fetches what it can of the platforms, and says which there are not', async () => {
    const job = await run(['multi:1'], ['linux/amd64', 'linux/s390x']);
    expect(job).toMatchObject({ state: 'failed' });
    expect(job.prefetch![0]).toMatchObject({
      ...{ state: 'failed', error: 'it has no linux/s390x, but linux/amd64, linux/arm64/v8' },
    });
    expect(job.prefetch![0]!.blobs.every(({ state }) => state === 'done')).toBe(true);
  });

  it('does not read again what is here', async () => {
    await world.pull('single:1');
    world.hub.fetched.length = 0;
    const { prefetch } = await run(['single:1']);
    expect(prefetch![0]!.blobs.map(({ state, bytes, size }) => [state, bytes === size])).toEqual(
      amd64.blobs.map(() => ['present', true]),
    );
    expect(world.hub.fetched).toEqual([]);
  });

  it('counts as here what upstream shows this repository to hold too', async () => {
    await world.pull('single:1');
    world.hub.fetched.length = 0;
    const { prefetch } = await run(['multi:1'], ['linux/amd64']);
    expect(prefetch![0]!.blobs.every(({ state }) => state === 'present')).toBe(true);
    expect(world.hub.fetched).toEqual([index.manifest.digest]);
  });

  it('says what came and found no room', async () => {
    const small = contentOf(Buffer.alloc(100)).bytes;
    const large = contentOf(Buffer.alloc(8000)).bytes;
    const image = buildImage({ seed: 'large', layers: [small, large] });
    world.hub.push('library/large', image, '1');
    world.limits.bytes = 6000;
    const job = await run(['large:1']);
    expect(job.state).toBe('succeeded');
    const states = new Map(
      job.prefetch![0]!.blobs.map(({ digest, state, bytes }) => [digest, [state, bytes]]),
    );
    expect(states.get(image.layers[0]!.digest)).toEqual(['done', 100]);
    expect(states.get(image.layers[1]!.digest)).toEqual(['uncached', 8000]);
  });

  it('fails a reference for a blob that fails, and fetches all others', async () => {
    world.hub.loseBlob(amd64.layers[0]!.digest);
    world.hub.push('library/other', arm64, '1');
    const job = await run(['single:1', 'other:1', 'missing:1']);
    expect(job).toMatchObject({ state: 'failed', error: '2 of 3 references failed' });
    const [single, other, missing] = job.prefetch!;
    expect(single).toMatchObject({ state: 'failed', error: 'the repository has no such blob' });
    expect(single!.blobs.map(({ state }) => state).sort()).toEqual(['done', 'done', 'failed']);
    expect(other).toMatchObject({ state: 'done' });
    expect(missing).toMatchObject({
      state: 'failed',
      error: 'the repository has no such manifest',
      blobs: [],
    });
  });

  it('fetches the other platforms where one is missing', async () => {
    world.hub.loseManifest('library/multi', amd64.manifest.digest);
    const { prefetch } = await run(['multi:1']);
    expect(prefetch![0]).toMatchObject({ state: 'failed', error: 'the repository has no such manifest' });
    expect(prefetch![0]!.blobs.map(({ digest, state }) => [digest, state]).sort()).toEqual(
      digestsOf(arm64).map((digest) => [digest, 'done']),
    );
  });

  it('leaves out layers that registries need not have', async () => {
    const [layer, foreign, listed] = amd64.layers.concat(arm64.layers);
    const manifest = contentOf(
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: amd64.manifest.mediaType,
          config: descriptor(amd64.config),
          layers: [
            descriptor(layer!),
            {
              ...descriptor(foreign!),
              mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
            },
            { ...descriptor(listed!), urls: ['https://example.com/layer'] },
          ],
        }),
      ),
      amd64.manifest.mediaType,
    );
    world.hub.push('library/windows', { manifest, blobs: [amd64.config, layer!], children: [] }, '1');
    const { state, prefetch } = await run(['windows:1']);
    expect(state).toBe('succeeded');
    expect(prefetch![0]!.blobs.map(({ digest }) => digest)).toEqual([amd64.config.digest, layer!.digest]);
  });

  it('has a few downloads at once, of all jobs together, and shows how each does', async () => {
    const gate = Promise.withResolvers<undefined>();
    const three = Promise.withResolvers<undefined>();
    let running = 0;
    let most = 0;
    world.hub.beforeBlob = async () => {
      most = Math.max(most, ++running);
      if (running === 3) three.resolve(undefined);
      await gate.promise;
      running -= 1;
    };
    const jobs = [
      world.actions.prefetch({ references: ['multi:1'], platforms: [] }),
      world.actions.prefetch({ references: ['multi:1', 'single:1'], platforms: [] }),
    ];
    await three.promise;
    const shown = world.actions.jobs().flatMap(({ prefetch = [] }) => prefetch.flatMap(({ blobs }) => blobs));
    expect(shown.filter(({ state }) => state === 'running').length).toBeLessThanOrEqual(3);
    expect(shown.some(({ state }) => state === 'waiting')).toBe(true);
    gate.resolve(undefined);
    for (const job of jobs) expect(await world.ended(job)).toMatchObject({ state: 'succeeded' });
    expect(most).toBe(3);
  });

  it('ends at once when it is cancelled, and keeps what has come', async () => {
    await world.pull('single:1');
    const begun = Promise.withResolvers<undefined>();
    world.hub.beforeBlob = (_digest, signal) => {
      begun.resolve(undefined);
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    };
    const job = world.actions.prefetch({ references: ['multi:1', 'single:1'], platforms: [] });
    await begun.promise;
    world.actions.cancel(job.id);
    const ended = await world.ended(job);
    expect(ended).toMatchObject({ state: 'cancelled' });
    expect(ended.prefetch![0]).toMatchObject({ state: 'failed', error: 'the job was cancelled' });
    expect(await world.blobs.stat(amd64.layers[0]!.digest)).toBeDefined();
  });

  it('says so where upstream could not be asked whether a tag has moved', async () => {
    await world.pull('single:1');
    world.hub.isDown = true;
    const { prefetch } = await run(['single:1']);
    expect(prefetch![0]).toMatchObject({
      ...{ state: 'failed', error: 'upstream could not be asked, and what is cached of it may be old' },
    });
    expect(prefetch![0]!.blobs.every(({ state }) => state === 'present')).toBe(true);
  });

  it('fetches what is named twice once', async () => {
    const { prefetch } = await run(['single:1', 'docker.io/library/single:1']);
    expect(prefetch!.map(({ reference }) => reference)).toEqual(['library/single:1']);
  });

  it.each([
    [[], [], /no reference/],
    [Array.from({ length: 257 }, (_, n) => `a:${n}`), [], /257 references are too many/],
    [['single:1', 'Nonsense'], [], /no name of an image/],
    [['quay.io/a/b'], [], /no upstream of this mirror/],
    [['single:1'], ['amd64'], /"amd64" is no platform/],
    [['single:1'], Array<string>(33).fill('linux/amd64'), /33 platforms are too many/],
  ])('refuses %# before anything is begun', (references, platforms, message) => {
    expect(() => world.actions.prefetch({ references, platforms })).toThrow(
      expect.objectContaining({
        kind: 'invalid',
        message: expect.stringMatching(message) as string,
      }) as Error,
    );
    expect(world.actions.jobs()).toEqual([]);
  });
});

function descriptor({ mediaType, digest, bytes }: { mediaType: string; digest: string; bytes: Uint8Array }) {
  return { mediaType, digest, size: bytes.length };
}
