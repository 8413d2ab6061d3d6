/** The stacks of deploy/swarm, on a real Swarm, with the image that the Dockerfile makes. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { blobsOf, type Catalog, type CatalogImage } from './support/catalog.ts';
import { DockerHost } from './support/docker-host.ts';
import { entrepotImage } from './support/entrepot-image.ts';
import { inNetwork } from './support/machine.ts';
import { Mirror } from './support/mirror.ts';
import { createNetwork, type NetworkHost, type TestNetwork } from './support/network.ts';
import { run } from './support/run.ts';
import { checkFolder } from './support/skopeo-host.ts';
import { until } from './support/until.ts';
import { blobDownloads, type UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const STACKS = join(import.meta.dirname, '../../deploy/swarm');

interface Node {
  readonly host: NetworkHost;
  readonly machine: DockerHost;
}

const workspace = useWorkspace();
let network: TestNetwork;
let catalog: Catalog;
let upstream: UpstreamRegistry;
/** What the stacks' mirrors have as their upstream. */
let above: Mirror;
let nodes: readonly [Node, Node];

beforeAll(async () => {
  network = await createNetwork(workspace(), ['node-1', 'node-2']);
  ({ upstream, catalog } = await startFullUpstream(workspace(), network.hub));
  const archive = await entrepotImage();
  above = await Mirror.start(workspace(), { upstreamUrl: upstream.url, host: network.hub });
  const open = async (host: NetworkHost): Promise<Node> => {
    const machine = await DockerHost.open(workspace(), { url: 'http://127.0.0.1:5000' }, host);
    await machine.docker('load', '--input', archive);
    return { host, machine };
  };
  nodes = await Promise.all([open(network.nodes[0]!), open(network.nodes[1]!)]);
  await joinSwarm();
});

async function joinSwarm(): Promise<void> {
  const [first, second] = nodes;
  await first.machine.docker('swarm', 'init', '--advertise-addr', first.host.address);
  const token = await first.machine.docker('swarm', 'join-token', '--quiet', 'worker');
  await second.machine.docker('swarm', 'join', '--token', token.trim(), `${first.host.address}:2377`);
}

async function deploy(file: string, env: Readonly<Record<string, string>>): Promise<void> {
  // Where the tests run, nobody may be given more files than they themselves have.
  const openFiles = (await run(['sh', '-c', 'ulimit -Hn'])).trim();
  const stack = await readFile(join(STACKS, file), 'utf8');
  const adapted = workspace().path(file);
  await writeFile(adapted, stack.replace('nofile: 65536', `nofile: ${openFiles}`));
  const options = ['--resolve-image=never', '--compose-file', adapted];
  await run(nodes[0].machine.argv('stack', 'deploy', ...options, 'entrepot'), {
    env: { ENTREPOT_UPSTREAM_URL: above.url, ...env },
  });
}

/** The containers of a node, each with its state and its health. */
async function containersOf({ machine }: Node): Promise<string> {
  return (await machine.docker('ps', '--format', '{{.Names}} {{.Status}}')).trim();
}

async function untilHealthy(node: Node): Promise<void> {
  let seen = '';
  const isHealthy = async () => {
    seen = await containersOf(node);
    return /^entrepot_mirror\.\S+ Up .*\(healthy\)$/.test(seen);
  };
  await until('a task of the stack is healthy', isHealthy, 60_000).catch(async (error: unknown) => {
    const tasks = await nodes[0].machine.docker('stack', 'ps', '--no-trunc', 'entrepot');
    throw new Error(`${node.host.hostname} has ${seen}\n${tasks}`, { cause: error });
  });
}

afterEach(async () => {
  await nodes[0].machine.docker('stack', 'rm', 'entrepot');
  for (const node of nodes) {
    const isGone = async () => (await node.machine.docker('ps', '--all', '--quiet')) === '';
    await until('the stack is gone', isGone, 60_000);
    await node.machine.docker(
      'image',
      'prune',
      '--all',
      '--force',
      '--filter',
      'label!=org.opencontainers.image.title',
    );
  }
});

const onceEach = (digests: readonly string[]) => Object.fromEntries(digests.map((digest) => [digest, 1]));

describe('the stack with one mirror on every node', () => {
  it('runs one on each, from which its dockerd pulls, and which alone can reach it', async () => {
    await deploy('mirror-per-node.yml', {});
    await Promise.all(nodes.map(untilHealthy));
    const before = (await upstream.requests()).length;
    for (const { machine } of nodes) {
      await machine.pull(catalog.app);
      await machine.check(catalog.app);
    }
    expect(blobDownloads(await upstream.requests(before))).toEqual(onceEach(blobsOf(catalog.app.amd64)));
    // Each node's own mirror has asked the one above for all of it.
    const asked = (await above.requests()).filter(
      ({ route, method }) => route === 'blob' && method === 'GET',
    );
    expect(asked).toHaveLength(2 * blobsOf(catalog.app.amd64).length);
    const [first, second] = nodes;
    const url = `http://${second.host.address}:5000/v2/`;
    await expect(run(inNetwork(first.host.network, ['curl', '-sS', url]))).rejects.toThrow(
      'Failed to connect',
    );
  });
});

describe('the stack with one cache for all', () => {
  // The mesh needs IPVS and iptables, of which the tests' own networks have neither: hence the port of the node itself.
  const hostMode = { ENTREPOT_PORT_MODE: 'host' };

  async function pullFrom(node: Node, image: CatalogImage): Promise<void> {
    const source = `docker://${node.host.address}:5000/${image.repository}:${image.tag}`;
    const folder = await mkdtemp(workspace().path('pulled-'));
    const argv = ['skopeo', 'copy', '--src-tls-verify=false', source, `dir:${folder}`];
    await run(inNetwork(nodes[0].host.network, argv));
    await checkFolder(folder, image.amd64);
  }

  it('runs on the node that has the label, and is pulled through from another', async () => {
    const [first, second] = nodes;
    await deploy('shared-cache.yml', hostMode);
    const isPending = async () =>
      (await first.machine.docker('stack', 'ps', '--no-trunc', 'entrepot')).includes('no suitable node');
    await until('no node is fit for it', isPending);
    await first.machine.docker('node', 'update', '--label-add=entrepot=cache', second.host.hostname);
    await untilHealthy(second);
    expect(await containersOf(first)).toBe('');
    await routeBack(second);
    await pullFrom(second, catalog.alpine);
  });

  it('finds its cache again when it is deployed anew, with nothing above it', async () => {
    await above.stop();
    await deploy('shared-cache.yml', hostMode);
    await untilHealthy(nodes[1]);
    await pullFrom(nodes[1], catalog.alpine);
  });
});

/** Its containers' addresses are not translated without iptables: the way there and back is made by routes. */
async function routeBack({ host, machine }: Node): Promise<void> {
  const format = '{{(index .IPAM.Config 0).Subnet}}';
  const subnet = await machine.docker('network', 'inspect', '--format', format, 'docker_gwbridge');
  await run(inNetwork(host.network, ['sysctl', '--write', 'net.ipv4.ip_forward=1']));
  await run(['ip', '-n', network.hub.network, 'route', 'replace', subnet.trim(), 'via', host.address]);
}
