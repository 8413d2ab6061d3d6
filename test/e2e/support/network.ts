/** Several machines on one switch, in network namespaces that nothing outside can reach or be reached from. */
import { inNetwork } from './machine.ts';
import { run } from './run.ts';
import type { Workspace } from './workspace.ts';

const SUBNET = '10.213.0';

export interface NetworkHost {
  readonly hostname: string;
  /** The name of its network namespace. */
  readonly network: string;
  readonly address: string;
}

/** The hub is the switch itself, with an address on it. */
export interface TestNetwork {
  readonly hub: NetworkHost;
  readonly nodes: readonly NetworkHost[];
}

async function addNamespace(workspace: Workspace, hostname: string): Promise<string> {
  const network = `entrepot-e2e-${process.pid}-${hostname}`;
  await run(['ip', 'netns', 'add', network]);
  workspace.defer(() => run(['ip', 'netns', 'delete', network]));
  await run(['ip', '-n', network, 'link', 'set', 'lo', 'up']);
  return network;
}

export async function createNetwork(
  workspace: Workspace,
  hostnames: readonly string[],
): Promise<TestNetwork> {
  const hub = {
    hostname: 'hub',
    network: await addNamespace(workspace, 'hub'),
    address: `${SUBNET}.1`,
  };
  await run(['ip', '-n', hub.network, 'link', 'add', 'switch', 'type', 'bridge']);
  await run(['ip', '-n', hub.network, 'address', 'add', `${hub.address}/24`, 'dev', 'switch']);
  await run(['ip', '-n', hub.network, 'link', 'set', 'switch', 'up']);
  const nodes: NetworkHost[] = [];
  for (const [index, hostname] of hostnames.entries()) {
    const network = await addNamespace(workspace, hostname);
    const address = `${SUBNET}.${index + 11}`;
    const [port, cable] = [`port${index}`, ['type', 'veth', 'peer', 'name', 'eth0', 'netns']];
    await run(['ip', '-n', hub.network, 'link', 'add', port, ...cable, network]);
    await run(['ip', '-n', hub.network, 'link', 'set', port, 'master', 'switch', 'up']);
    await run(['ip', '-n', network, 'address', 'add', `${address}/24`, 'dev', 'eth0']);
    await run(['ip', '-n', network, 'link', 'set', 'eth0', 'up']);
    nodes.push({ hostname, network, address });
  }
  return { hub, nodes };
}

/** Whether something there answers with a 2xx; curl, since the tests themselves stand in no such network. */
export async function answers(network: string | undefined, url: string): Promise<boolean> {
  await run(inNetwork(network, ['curl', '--fail', '--silent', '--max-time', '5', url]));
  return true;
}
