import { beforeAll, describe, expect, it } from 'vitest';
import { blobsOf, nameOf, type Catalog } from './support/catalog.ts';
import { DockerHost } from './support/docker-host.ts';
import { Mirror } from './support/mirror.ts';
import { SkopeoHost } from './support/skopeo-host.ts';
import { until } from './support/until.ts';
import { blobDownloads, type UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;

beforeAll(async () => {
  ({ upstream, catalog } = await startFullUpstream(workspace()));
});

async function readToEnd(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  while (!(await reader.read()).done);
}

describe('a mirror that is killed in the middle of a pull', () => {
  function fetchBlob(mirror: Mirror, digest: string): Promise<Response> {
    return fetch(`${mirror.url}/v2/${catalog.debian.repository}/blobs/${digest}`);
  }

  it('serves that same pull to its end after its restart, with what it had stored', async () => {
    const before = (await upstream.requests()).length;
    const mirror = await Mirror.start(workspace(), { upstreamUrl: upstream.url });
    await using machine = await DockerHost.open(workspace(), mirror);
    const held = catalog.debian.amd64.layers.slice(0, 2);
    await fetch(`${mirror.url}/v2/${catalog.debian.repository}/manifests/${catalog.debian.tag}`);
    for (const digest of held) await (await fetchBlob(mirror, digest)).bytes();
    await until('they are stored', async () => (await mirror.storedBlobs()).length === held.length);

    // The upstream falls silent in the middle of the largest layer, and so does the pull that waits for it.
    const largest = await fetchBlob(mirror, catalog.debian.amd64.layers.at(-1)!);
    const reader = largest.body!.getReader();
    await reader.read();
    await upstream.pause();
    const pull = machine.docker('pull', nameOf(catalog.debian));
    await until('docker has what is stored', async () => {
      const requests = await mirror.requests();
      const ofDocker = requests.filter(({ userAgent }) => userAgent?.startsWith('docker/'));
      return ofDocker.filter(({ route }) => route === 'blob').length >= held.length;
    });
    await mirror.kill();
    await expect(readToEnd(reader)).rejects.toThrow();

    await upstream.resume();
    await mirror.start();
    await pull;
    await machine.check(catalog.debian);
    expect(blobDownloads(await upstream.requests(before))).toMatchObject(
      Object.fromEntries(held.map((digest) => [digest, 1])),
    );
  });

  it('gives what it holds to the next client whole, with the upstream stopped', async () => {
    const mirror = await Mirror.start(workspace(), { upstreamUrl: upstream.url });
    await using first = await SkopeoHost.open(workspace(), mirror);
    await first.pull(catalog.debian);
    const blobs = blobsOf(catalog.debian.amd64).toSorted();
    await until('everything is stored', async () => {
      return (await mirror.storedBlobs()).toSorted().join() === blobs.join();
    });
    await mirror.kill();
    await upstream.whileStopped(async () => {
      await mirror.start();
      await using second = await SkopeoHost.open(workspace(), mirror);
      await second.pull(catalog.debian);
      await second.check(catalog.debian);
    });
  });
});
