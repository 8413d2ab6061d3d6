import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Catalog } from './support/catalog.ts';
import { Mirror } from './support/mirror.ts';
import { PodmanHost } from './support/podman-host.ts';
import type { UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;
let mirror: Mirror;

beforeAll(async () => {
  ({ upstream, catalog } = await startFullUpstream(workspace()));
});

/** Every pull comes after the time to live of the tag. */
beforeEach(async () => {
  mirror = await Mirror.start(workspace(), { upstreamUrl: upstream.url, tagTtl: '0s' });
  await using first = await PodmanHost.open(workspace(), mirror);
  await first.pull(catalog.alpine);
  return () => mirror.remove();
});

describe('a tag whose time to live is over', () => {
  it('costs upstream one HEAD, and no download', async () => {
    const before = (await upstream.requests()).length;
    await using second = await PodmanHost.open(workspace(), mirror);
    await second.pull(catalog.alpine);
    await second.check(catalog.alpine);
    const { repository, tag } = catalog.alpine;
    expect(await upstream.requests(before)).toEqual([
      { method: 'HEAD', path: `/v2/${repository}/manifests/${tag}`, status: 200 },
    ]);
  });

  it('is still served while the upstream is stopped', async () => {
    await upstream.whileStopped(async () => {
      await using second = await PodmanHost.open(workspace(), mirror);
      await second.pull(catalog.alpine);
      await second.check(catalog.alpine);
    });
  });
});
