/** Mirrors whose upstream is a mirror: one at the root of a data centre, one a rack. */
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { movableClock } from '../support/clock.ts';
import { get, head, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';

const MIB = 1024 * 1024;
const REPOSITORY = 'library/alpine';
const RACKS = 3;
const time = movableClock();

interface Tree {
  readonly hub: ScriptedUpstream;
  readonly root: RunningMirror;
  readonly racks: readonly RunningMirror[];
}

let tree: Tree;
beforeEach(async () => {
  const stack = new AsyncDisposableStack();
  const hub = stack.use(await ScriptedUpstream.start());
  const root = stack.use(await startMirror({ upstreamUrl: hub.url, now: time.now }));
  const racks: RunningMirror[] = [];
  for (let rack = 0; rack < RACKS; rack += 1) {
    racks.push(stack.use(await startMirror({ upstreamUrl: root.url, now: time.now })));
  }
  tree = { hub, root, racks };
  return () => stack.disposeAsync();
});

const blobUrl = (mirror: RunningMirror, digest: string) => `${mirror.url}/v2/${REPOSITORY}/blobs/${digest}`;
const tagUrl = (mirror: RunningMirror, tag: string) => `${mirror.url}/v2/${REPOSITORY}/manifests/${tag}`;

describe('a tree of mirrors', () => {
  it('fetches a cold blob once from above, however many ask below', async () => {
    const { hub, root, racks } = tree;
    const digest = hub.pushBlob(REPOSITORY, randomBytes(1, 2 * MIB));
    const clients = racks.flatMap((rack) => Array.from({ length: 20 }, () => get(blobUrl(rack, digest))));

    for (const { status, body } of await Promise.all(clients)) {
      expect([status, digestOf(body)]).toEqual([200, digest]);
    }
    expect(hub.count({ kind: 'cdn' })).toBe(1);
    expect(hub.blobBytesSent).toBe(2 * MIB);
    // A mirror that asks is one client: each rack asked the root once.
    expect(await root.metric('registry_proxy_pushed_bytes_total{type="blob"}')).toBe(RACKS * 2 * MIB);
  });

  it('passes the first bytes on through every level while the rest is still to come', async () => {
    const { hub, racks } = tree;
    const bytes = randomBytes(2, 2 * MIB);
    const digest = hub.pushBlob(REPOSITORY, bytes);
    const gate = hub.hold({ kind: 'cdn' }, { afterBytes: MIB });

    const client = await open(blobUrl(racks[0]!, digest));
    await gate.waiting;
    expect((await client.read(MIB / 2)).equals(bytes.subarray(0, MIB / 2))).toBe(true);
    gate.release();
    expect((await client.rest()).body.equals(bytes.subarray(MIB / 2))).toBe(true);
  });

  it('pulls an image whole: the tag by HEAD, manifests and layers with the digests that they have', async () => {
    const { hub, racks } = tree;
    const image = buildImage({ layers: 2, seed: 'tree' });
    hub.push(REPOSITORY, '3', image);
    const [rack] = racks as [RunningMirror];

    expect((await head(tagUrl(rack, '3'))).headers['docker-content-digest']).toBe(image.manifest.digest);
    expect((await get(tagUrl(rack, '3'))).body.equals(image.manifest.bytes)).toBe(true);
    for (const { digest } of image.blobs) {
      expect(digestOf((await get(blobUrl(rack, digest))).body)).toBe(digest);
    }
    expect(hub.count({ kind: 'manifest', method: 'GET' })).toBe(1);
  });

  it('keeps a wrong byte out at every level, and goes on once it is right', async () => {
    const { hub, racks } = tree;
    const digest = hub.pushBlob(REPOSITORY, randomBytes(3, 2 * MIB));
    hub.fault({ kind: 'cdn' }, { body: flipByte(MIB) }, 1);

    const broken = await get(blobUrl(racks[0]!, digest)).catch(() => undefined);
    // The rack may have asked the root again by itself, and have got it right.
    if (broken && !broken.isCutShort) expect([200, 502, 503]).toContain(broken.status);
    if (broken?.status === 200 && !broken.isCutShort) expect(digestOf(broken.body)).toBe(digest);
    for (const rack of racks) expect(digestOf((await get(blobUrl(rack, digest))).body)).toBe(digest);
  });

  it('serves what the root has while the registry behind it is away, however much else is asked for', async () => {
    const { hub, racks } = tree;
    const image = buildImage({ layers: 1, seed: 'kept' });
    hub.push(REPOSITORY, 'kept', image);
    const [first, second] = racks as [RunningMirror, RunningMirror];
    await get(tagUrl(first, 'kept'));
    await get(blobUrl(first, image.layers[0]!.digest));
    await hub.stop();

    // More failures than leave a host alone: they are the registry's, not the root's.
    for (let index = 0; index < 5; index += 1) {
      const missing = await get(tagUrl(second, `missing-${index}`));
      expect([missing.status, missing.headers['proxy-status']]).toEqual([
        503,
        'entrepot; error=destination_unavailable',
      ]);
    }
    expect((await get(tagUrl(second, 'kept'))).body.equals(image.manifest.bytes)).toBe(true);
    const layer = await get(blobUrl(second, image.layers[0]!.digest));
    expect(digestOf(layer.body)).toBe(image.layers[0]!.digest);
  });

  it("serves what the root has while the registry's pull limit is reached", async () => {
    const { hub, racks } = tree;
    const image = buildImage({ layers: 1, seed: 'limited' });
    hub.push(REPOSITORY, 'kept', image);
    hub.push(REPOSITORY, 'other', buildImage({ layers: 1, seed: 'other' }));
    const [first, second] = racks as [RunningMirror, RunningMirror];
    await get(tagUrl(first, 'kept'));
    hub.reply({ kind: 'manifest', method: 'GET' }, { status: 429, headers: { 'retry-after': '60' } }, 10);

    expect((await get(tagUrl(second, 'other'))).status).toBe(429);
    expect((await get(tagUrl(second, 'kept'))).body.equals(image.manifest.bytes)).toBe(true);
  });

  it('serves what a rack has while the root is away', async () => {
    const { hub, root, racks } = tree;
    const image = buildImage({ layers: 1, seed: 'rack' });
    hub.push(REPOSITORY, '3', image);
    const [rack] = racks as [RunningMirror];
    await get(tagUrl(rack, '3'));
    await get(blobUrl(rack, image.layers[0]!.digest));
    await root.close();
    time.pass(24 * 3600 * 1000);

    expect((await get(tagUrl(rack, '3'))).body.equals(image.manifest.bytes)).toBe(true);
    expect(digestOf((await get(blobUrl(rack, image.layers[0]!.digest))).body)).toBe(image.layers[0]!.digest);
  });

  it('follows a tag that moves after the TTL of each level', async () => {
    const { hub, racks } = tree;
    const [old, latest] = [buildImage({ seed: 'old' }), buildImage({ seed: 'new' })];
    const [rack] = racks as [RunningMirror];
    hub.push(REPOSITORY, 'latest', old);
    await get(tagUrl(rack, 'latest'));
    hub.push(REPOSITORY, 'latest', latest);
    time.pass(61_000);

    expect((await get(tagUrl(rack, 'latest'))).body.equals(latest.manifest.bytes)).toBe(true);
  });

  it('reaches each registry of the root by a path in the URL', async () => {
    const { hub, root } = tree;
    const image = buildImage({ layers: 1, seed: 'path' });
    hub.push(REPOSITORY, '3', image);
    await using known = await startMirror({ upstreamUrl: `${root.url}/docker.io` });
    await using unknown = await startMirror({ upstreamUrl: `${root.url}/nowhere.example` });

    expect((await get(tagUrl(known, '3'))).body.equals(image.manifest.bytes)).toBe(true);
    expect((await get(tagUrl(unknown, '3'))).status).toBe(404);
  });
});

describe('a mirror that is its own upstream', () => {
  it('answers 503, and does not ask itself again and again', async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    await using mirror = await startMirror({
      upstreamUrl: `http://127.0.0.1:${port}`,
      env: { ENTREPOT_LISTEN: `127.0.0.1:${port}`, ENTREPOT_UPSTREAM_HEADERS_TIMEOUT: '1s' },
    });

    expect((await head(tagUrl(mirror, '3'))).status).toBe(503);
    const lines = mirror.log.filter(({ msg }) => msg.startsWith('HEAD '));
    expect(lines.length).toBeLessThan(20);
  });
});
