import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BuildahHost } from './support/buildah-host.ts';
import { blobsOf, type Catalog } from './support/catalog.ts';
import { ContainerdHost } from './support/containerd-host.ts';
import { DockerHost } from './support/docker-host.ts';
import { Mirror } from './support/mirror.ts';
import { PodmanHost } from './support/podman-host.ts';
import type { OpenHost } from './support/pulling-host.ts';
import { SkopeoHost } from './support/skopeo-host.ts';
import { blobDownloads, type UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const CLIENTS: readonly (readonly [string, OpenHost])[] = [
  ['dockerd', (space, mirror) => DockerHost.open(space, mirror)],
  ['containerd with hosts.toml', (space, mirror) => ContainerdHost.open(space, mirror)],
  ['podman', (space, mirror) => PodmanHost.open(space, mirror)],
  ['buildah', (space, mirror) => BuildahHost.open(space, mirror)],
  ['skopeo', (space, mirror) => SkopeoHost.open(space, mirror)],
];

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;

beforeAll(async () => {
  ({ upstream, catalog } = await startFullUpstream(workspace()));
});

describe.each(CLIENTS)('%s behind the mirror', (_, openHost) => {
  let mirror: Mirror;

  beforeAll(async () => {
    mirror = await Mirror.start(workspace(), { upstreamUrl: upstream.url });
  });
  afterAll(() => mirror.remove());

  async function pullAll(): Promise<void> {
    await using host = await openHost(workspace(), mirror);
    for (const image of [catalog.alpine, catalog.debian]) {
      await host.pull(image);
      await host.check(image);
    }
  }

  it('pulls an index and an image of many layers, each blob downloaded once', async () => {
    const before = (await upstream.requests()).length;
    await pullAll();
    const wanted = [...blobsOf(catalog.alpine.amd64), ...blobsOf(catalog.debian.amd64)];
    expect(blobDownloads(await upstream.requests(before))).toEqual(
      Object.fromEntries(wanted.map((digest) => [digest, 1])),
    );
  });

  it('pulls them again on another machine, and upstream is asked nothing', async () => {
    const before = (await upstream.requests()).length;
    await pullAll();
    expect(await upstream.requests(before)).toEqual([]);
  });

  it('pulls them on yet another machine while the upstream is stopped', async () => {
    await upstream.whileStopped(pullAll);
  });
});
