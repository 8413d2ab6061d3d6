/** The disk stays bounded, and nobody notices. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';

async function bytesOnDisk(mirror: RunningMirror): Promise<number> {
  let bytes = 0;
  for (const folder of ['blobs', 'spool']) {
    const entries = await readdir(join(mirror.dataDir, folder), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
    }
  }
  return bytes;
}

const blobUrl = (mirror: RunningMirror, digest: Digest) => `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;

async function expectBlob(mirror: RunningMirror, digest: Digest): Promise<void> {
  const { body, isCutShort } = await get(blobUrl(mirror, digest));
  expect([digestOf(body), isCutShort]).toEqual([digest, false]);
}

/** Uses that far apart count apart. */
const MINUTE = 61_000;

describe('a cache with a bound', () => {
  it('stays within it, and what was evicted is pulled again without anybody noticing', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_CACHE_MAX_SIZE: '10MiB' },
    });
    const blobs = Array.from({ length: 12 }, (_, seed) =>
      upstream.pushBlob(REPOSITORY, randomBytes(seed, 2 * MIB)),
    );
    for (const digest of [...blobs, ...blobs]) {
      await expectBlob(mirror, digest);
      // A file that is being renamed could be counted in both places.
      await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
      expect(await bytesOnDisk(mirror)).toBeLessThanOrEqual(10 * MIB);
    }
    expect(await mirror.metric('entrepot_evicted_blobs_total')).toBeGreaterThan(10);
    expect(await mirror.metric('entrepot_cache_bytes')).toBeLessThanOrEqual(10 * MIB);
  });

  it('lets go what was used least recently, whatever kind of use that was', async () => {
    await using upstream = await ScriptedUpstream.start();
    const time = movableClock();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      now: time.now,
      env: { ENTREPOT_CACHE_MAX_SIZE: '10MiB', ENTREPOT_CACHE_LOW_WATER: '100%' },
    });
    const blobs = [1, 2, 3, 4, 5].map((seed) => upstream.pushBlob(REPOSITORY, randomBytes(seed, 2.4 * MIB)));
    const [first, second, third, fourth, fifth] = blobs as [Digest, Digest, Digest, Digest, Digest];
    for (const digest of [first, second, third, fourth]) {
      await expectBlob(mirror, digest);
      await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
      time.pass(MINUTE);
    }
    await head(blobUrl(mirror, first));
    await get(blobUrl(mirror, second), { range: '0-9' });
    time.pass(MINUTE);
    await expectBlob(mirror, fifth);
    upstream.reset();

    for (const digest of [first, second, fourth, fifth]) await expectBlob(mirror, digest);
    expect(upstream.requests).toEqual([]);
    await expectBlob(mirror, third);
    expect(upstream.count({ kind: 'cdn' })).toBe(1);
  });

  it('keeps the layers of an image that is only revalidated, and drops the manifest with the layers', async () => {
    await using upstream = await ScriptedUpstream.start();
    const time = movableClock();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      now: time.now,
      env: { ENTREPOT_CACHE_MAX_SIZE: '10MiB', ENTREPOT_CACHE_LOW_WATER: '100%' },
    });
    const used = buildImage({ layers: [randomBytes(1, 3 * MIB)] });
    const unused = buildImage({ layers: [randomBytes(2, 3 * MIB)] });
    upstream.push(REPOSITORY, 'used', used);
    upstream.push(REPOSITORY, 'unused', unused);
    for (const [tag, image] of [
      ['used', used],
      ['unused', unused],
    ] as const) {
      await get(`${mirror.url}/v2/${REPOSITORY}/manifests/${tag}`);
      for (const { digest } of [image.config, ...image.layers]) await expectBlob(mirror, digest);
      // A client has its bytes before they are on stable storage and recorded.
      const stored = image === used ? 2 : 4;
      await expect.poll(() => mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(stored);
      time.pass(MINUTE);
    }
    await head(`${mirror.url}/v2/${REPOSITORY}/manifests/used`);
    time.pass(MINUTE);
    await expectBlob(mirror, upstream.pushBlob(REPOSITORY, randomBytes(3, 5 * MIB)));
    await upstream.stop();

    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/used`)).status).toBe(200);
    await expectBlob(mirror, used.layers[0]!.digest);
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/unused`)).status).toBe(503);
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/${unused.manifest.digest}`)).status).toBe(
      503,
    );
  });

  it('never takes away what is being read', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_CACHE_MAX_SIZE: '30MiB' },
    });
    // More than the sockets between us hold, so that the reader is in the middle of it.
    const bytes = randomBytes(1, 24 * MIB);
    const reading = upstream.pushBlob(REPOSITORY, bytes);
    await expectBlob(mirror, reading);
    const reader = await open(blobUrl(mirror, reading));
    await reader.read(MIB);
    const others = [2, 3, 4, 5].map((seed) => upstream.pushBlob(REPOSITORY, randomBytes(seed, 4 * MIB)));
    for (const digest of others) await expectBlob(mirror, digest);
    upstream.reset();
    await expectBlob(mirror, reading);
    expect(upstream.requests).toEqual([]);
    expect((await reader.rest()).body.equals(bytes.subarray(MIB))).toBe(true);
  });

  it('passes a blob larger than all of it on to its clients, verified and uncached', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_CACHE_MAX_SIZE: '4MiB' },
    });
    const small = upstream.pushBlob(REPOSITORY, randomBytes(1, MIB));
    await expectBlob(mirror, small);
    const bytes = randomBytes(2, 9 * MIB);
    const large = upstream.pushBlob(REPOSITORY, bytes);

    await expectBlob(mirror, large);
    expect(upstream.count({ kind: 'cdn' })).toBe(2);
    const ranged = await get(blobUrl(mirror, large), { range: `${MIB}-${2 * MIB - 1}` });
    expect([ranged.status, ranged.body.equals(bytes.subarray(MIB, 2 * MIB))]).toEqual([206, true]);
    await Promise.all([1, 2, 3].map(() => expectBlob(mirror, large)));
    expect(await bytesOnDisk(mirror)).toBe(MIB);

    // What goes straight through is verified all the same.
    upstream.fault({ kind: 'cdn' }, { body: flipByte(8 * MIB) });
    expect((await get(blobUrl(mirror, large))).isCutShort).toBe(true);

    // And what was there before is there still.
    upstream.reset();
    await expectBlob(mirror, small);
    expect(upstream.requests).toEqual([]);
  });

  it('passes on what is left of a blob that turns out not to fit, after bytes that were the same', async () => {
    await using upstream = await ScriptedUpstream.start({ cdn: false });
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      env: { ENTREPOT_CACHE_MAX_SIZE: '6MiB' },
    });
    const large = upstream.pushBlob(REPOSITORY, randomBytes(1, 9 * MIB));
    const withoutLength = { headers: { 'content-length': undefined } };
    upstream.fault({ kind: 'blob' }, withoutLength, 100);
    await expectBlob(mirror, large);
    expect(await bytesOnDisk(mirror)).toBe(0);

    // The beginning that the client has came from another answer, whose bytes nobody could verify.
    upstream.clearScript();
    upstream.fault({ kind: 'blob', method: 'GET' }, { ...withoutLength, body: flipByte(5) });
    upstream.fault({ kind: 'blob' }, withoutLength, 100);
    expect((await get(blobUrl(mirror, large))).isCutShort).toBe(true);
  });

  it('that is made smaller is trimmed at the next start', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using first = await startMirror({ upstreamUrl: upstream.url });
    for (let seed = 0; seed < 5; seed += 1)
      await expectBlob(first, upstream.pushBlob(REPOSITORY, randomBytes(seed, 2 * MIB)));
    await first.app.close();
    await using second = await startMirror({
      upstreamUrl: upstream.url,
      dataDir: first.dataDir,
      env: { ENTREPOT_CACHE_MAX_SIZE: '5MiB' },
    });
    await expect.poll(() => bytesOnDisk(second)).toBeLessThanOrEqual(4.5 * MIB);
    await second.close();
  });
});
