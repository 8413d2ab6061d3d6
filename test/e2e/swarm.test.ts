import { beforeAll, describe, expect, it } from 'vitest';
import { blobsOf, nameOf, type Catalog, type CatalogImage } from './support/catalog.ts';
import { DockerHost } from './support/docker-host.ts';
import { Mirror } from './support/mirror.ts';
import { createNetwork, type NetworkHost } from './support/network.ts';
import { until } from './support/until.ts';
import { blobDownloads, type UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

interface Node {
  readonly host: NetworkHost;
  readonly machine: DockerHost;
}

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;
let nodes: readonly Node[];
let manager: DockerHost;

async function joinSwarm([first, ...others]: readonly Node[]): Promise<void> {
  await first!.machine.docker('swarm', 'init', '--advertise-addr', first!.host.address);
  const token = await first!.machine.docker('swarm', 'join-token', '--quiet', 'worker');
  for (const { machine } of others) {
    await machine.docker('swarm', 'join', '--token', token.trim(), `${first!.host.address}:2377`);
  }
}

/** As `docker service ps` tells of the tasks that are to run: one state a node, with the error where there is one. */
async function taskStates(service: string): Promise<Record<string, string>> {
  const format = '{{.Node}} {{.CurrentState}} {{.Error}}';
  const filter = ['--no-trunc', '--filter', 'desired-state=running', '--format', format];
  const lines = (await manager.docker('service', 'ps', ...filter, service)).trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [node, state] = line.split(' ');
      return [node!, state === 'Running' ? state : line];
    }),
  );
}

/** Ends when each node runs one task of it. */
async function createService(service: string, image: CatalogImage): Promise<void> {
  const options = ['--detach', '--mode=global', '--network=host', '--stop-signal=SIGKILL'];
  const command = [...options, `--name=${service}`, nameOf(image), 'sleep', '1000000'];
  await manager.docker('service', 'create', ...command);
  const wanted = Object.fromEntries(nodes.map(({ host }) => [host.hostname, 'Running']));
  let seen: Record<string, string> = {};
  await until(
    `every node runs ${service}`,
    async () => {
      seen = await taskStates(service);
      return JSON.stringify(seen, Object.keys(wanted)) === JSON.stringify(wanted);
    },
    120_000,
  ).catch((error: unknown) => {
    throw new Error(`${service} does not run: ${JSON.stringify(seen)}`, { cause: error });
  });
}

async function removeService(service: string, image: CatalogImage): Promise<void> {
  await manager.docker('service', 'rm', service);
  for (const { machine } of nodes) {
    await until(`${service} is gone`, async () => (await machine.docker('ps', '-aq')) === '');
    await machine.docker('image', 'rm', '--force', `${image.repository}@${image.digest}`);
    expect(await machine.docker('images', '--quiet')).toBe('');
  }
}

beforeAll(async () => {
  const network = await createNetwork(workspace(), ['node-1', 'node-2', 'node-3']);
  ({ upstream, catalog } = await startFullUpstream(workspace(), network.hub));
  const mirror = await Mirror.start(workspace(), { upstreamUrl: upstream.url, host: network.hub });
  nodes = await Promise.all(
    network.nodes.map(async (host) => ({
      host,
      machine: await DockerHost.open(workspace(), mirror, host),
    })),
  );
  manager = nodes[0]!.machine;
  await joinSwarm(nodes);
});

describe('a Docker Swarm of three nodes behind one mirror', () => {
  it('runs a service on every node, though each layer is downloaded once', async () => {
    await createService('debian', catalog.debian);
    expect(blobDownloads(await upstream.requests())).toEqual(
      Object.fromEntries(blobsOf(catalog.debian.amd64).map((digest) => [digest, 1])),
    );
  });

  it('pins the digest of the service through the mirror', async () => {
    const format = '{{.Spec.TaskTemplate.ContainerSpec.Image}}';
    const image = await manager.docker('service', 'inspect', '--format', format, 'debian');
    expect(image.trim()).toBe(
      `${nameOf(catalog.debian).replace('docker.io/library/', '')}@${catalog.debian.digest}`,
    );
  });

  it('runs it again on nodes that forgot the image, while the upstream is stopped', async () => {
    await removeService('debian', catalog.debian);
    await upstream.whileStopped(() => createService('debian-again', catalog.debian));
  });

  it('runs a service from an index, of which each node takes its own platform', async () => {
    const before = (await upstream.requests()).length;
    await createService('alpine', catalog.alpine);
    expect(blobDownloads(await upstream.requests(before))).toEqual(
      Object.fromEntries(blobsOf(catalog.alpine.amd64).map((digest) => [digest, 1])),
    );
  });

  it('runs a service whose image shares layers with one that was pulled, without those', async () => {
    const before = (await upstream.requests()).length;
    await createService('app', catalog.app);
    const known = new Set(blobsOf(catalog.alpine.amd64));
    const wanted = blobsOf(catalog.app.amd64).filter((digest) => !known.has(digest));
    expect(blobDownloads(await upstream.requests(before))).toEqual(
      Object.fromEntries(wanted.map((digest) => [digest, 1])),
    );
  });
});
