/** Our own disk has no room, for others or we ourselves have filled it. Pulls don't notice. */
import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { get, jsonOf } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { smallDisk } from '../support/mounted-disk.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
/** With room for what the index keeps for itself, and for some blobs of a few MiB. */
const DISK_BYTES = 48 * MIB;

async function pull(mirror: RunningMirror, digest: Digest, clients = 1): Promise<void> {
  const url = `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
  const answers = await Promise.all(Array.from({ length: clients }, () => get(url)));
  const received = answers.map(({ status, body, isCutShort }) => [status, digestOf(body), isCutShort]);
  expect(received).toEqual(answers.map(() => [200, digest, false]));
}

/** A client has its bytes before they are stored. */
async function settled(mirror: RunningMirror): Promise<void> {
  await expect.poll(() => mirror.metric('entrepot_downloads_running')).toBe(0);
}

async function readiness({ adminUrl }: RunningMirror): Promise<[number, unknown]> {
  const answer = await get(`${adminUrl}/readyz`);
  return [answer.status, jsonOf(answer)];
}

const degraded = (why: RegExp) => [
  200,
  {
    status: 'degraded',
    faults: [],
    warnings: expect.arrayContaining([expect.stringMatching(why)]) as unknown,
  },
];
const OK = [200, { status: 'ok', faults: [], warnings: [] }];

function complaints({ log }: RunningMirror): readonly string[] {
  return log.filter(({ level }) => level === 'warn' || level === 'error').map(({ msg }) => msg);
}

describe('a disk that others have filled before the start', () => {
  it('keeps nobody from pulling what is cold, one client or twenty, nor what is cached', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using disk = await smallDisk(DISK_BYTES);
    const cached = [1, 2, 3, 4].map((seed) => upstream.pushBlob(REPOSITORY, randomBytes(seed, MIB)));
    const image = buildImage();
    upstream.push(REPOSITORY, '3', image);
    await using before = await startMirror({ upstreamUrl: upstream.url, dataDir: disk.dataDir });
    for (const digest of cached) await pull(before, digest);
    await settled(before);
    await before.close();
    await disk.fill();

    await using mirror = await startMirror({ upstreamUrl: upstream.url, dataDir: disk.dataDir });
    // What the index had kept for itself it has given up to open its file.
    await disk.fill();
    const large = upstream.pushBlob(REPOSITORY, randomBytes(5, 5 * MIB));
    await pull(mirror, large);
    await pull(mirror, large, 20);
    expect((await get(`${mirror.url}/v2/${REPOSITORY}/manifests/3`)).status).toBe(200);
    for (const { digest } of image.blobs) await pull(mirror, digest);
    expect((await readiness(mirror))[0]).toBe(200);
    await settled(mirror);
    upstream.reset();
    await pull(mirror, cached.at(-1)!);
    expect(upstream.requests).toEqual([]);
    expect(complaints(mirror).length, complaints(mirror).join('\n')).toBeLessThan(5);
  });

  it('is told of, and used again when there is room', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using disk = await smallDisk(DISK_BYTES);
    await using before = await startMirror({ upstreamUrl: upstream.url, dataDir: disk.dataDir });
    await before.close();
    await disk.fill();
    await using mirror = await startMirror({ upstreamUrl: upstream.url, dataDir: disk.dataDir });
    await disk.fill();
    const blobs = [1, 2, 3].map((seed) => upstream.pushBlob(REPOSITORY, randomBytes(seed, 2 * MIB)));
    for (const digest of blobs) await pull(mirror, digest, 5);
    expect(await readiness(mirror)).toEqual(degraded(/^the disk has no room for the cache/));
    expect(complaints(mirror).length, complaints(mirror).join('\n')).toBeLessThan(5);

    await disk.clear();
    for (const digest of blobs) await pull(mirror, digest);
    await settled(mirror);
    upstream.reset();
    for (const digest of blobs) await pull(mirror, digest);
    expect(upstream.requests).toEqual([]);
    expect(await readiness(mirror)).toEqual(OK);
  });
});

describe('a disk that others fill in the middle of downloads', () => {
  it.each([1, 20])('costs none of %i clients a byte', async (clients) => {
    await using upstream = await ScriptedUpstream.start();
    await using disk = await smallDisk(DISK_BYTES);
    await using mirror = await startMirror({ upstreamUrl: upstream.url, dataDir: disk.dataDir });
    const digest = upstream.pushBlob(REPOSITORY, randomBytes(1, 6 * MIB));
    const gate = upstream.hold({ kind: 'cdn' }, { afterBytes: 2 * MIB });
    const pulls = pull(mirror, digest, clients);
    await gate.waiting;
    await disk.fill();
    gate.release();
    await pulls;
    await settled(mirror);
    await disk.fill();
    const other = upstream.pushBlob(REPOSITORY, randomBytes(2, 3 * MIB));
    await pull(mirror, other, clients);
    expect(await readiness(mirror)).toEqual(degraded(/the disk (is full|has no room)/));
    expect(complaints(mirror).length, complaints(mirror).join('\n')).toBeLessThan(5);

    await disk.clear();
    await pull(mirror, digest, clients);
    await settled(mirror);
    upstream.reset();
    await pull(mirror, digest, clients);
    expect(upstream.requests).toEqual([]);
    expect(await readiness(mirror)).toEqual(OK);
  });
});

describe('a disk that the cache fills itself', () => {
  it('has room for what is pulled next, though the bound is far above its size', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using disk = await smallDisk(DISK_BYTES);
    await using mirror = await startMirror({
      upstreamUrl: upstream.url,
      dataDir: disk.dataDir,
      env: { ENTREPOT_CACHE_MAX_SIZE: '1GiB' },
    });
    const blobs = Array.from({ length: 12 }, (_, seed) =>
      upstream.pushBlob(REPOSITORY, randomBytes(seed, 6 * MIB)),
    );
    for (const digest of blobs) {
      await pull(mirror, digest);
      await settled(mirror);
    }
    expect(await mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(12);
    expect(await mirror.metric('entrepot_evicted_blobs_total')).toBeGreaterThan(4);
    expect(await readiness(mirror)).toEqual(OK);
    upstream.reset();
    await pull(mirror, blobs.at(-1)!);
    expect(upstream.requests).toEqual([]);
  });

  it('gives up the least recently used for what is pulled next when others take the rest of it', async () => {
    await using upstream = await ScriptedUpstream.start();
    await using disk = await smallDisk(DISK_BYTES);
    await using mirror = await startMirror({ upstreamUrl: upstream.url, dataDir: disk.dataDir });
    const blobs = [1, 2, 3, 4].map((seed) => upstream.pushBlob(REPOSITORY, randomBytes(seed, 3 * MIB)));
    for (const digest of blobs) await pull(mirror, digest);
    await settled(mirror);
    // To the last block: the index can't even take a row out before a file has gone.
    await disk.fill();
    const next = upstream.pushBlob(REPOSITORY, randomBytes(5, 3 * MIB));
    await pull(mirror, next);
    await settled(mirror);
    expect(await mirror.metric('entrepot_downloads_total{outcome="stored"}')).toBe(5);
    upstream.reset();
    await pull(mirror, next);
    await pull(mirror, blobs.at(-1)!);
    expect(upstream.requests).toEqual([]);
    expect(await readiness(mirror)).toEqual(OK);
  });
});
