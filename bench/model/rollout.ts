/**
 * How long a rollout takes: every node pulls one image at once, and each resource that the bytes go through has a time
 * of its own for its share. All of them work at the same time, because a mirror passes bytes on as they come: the
 * slowest one is how long it takes (a fluid model; what it leaves out is in docs/scale.md).
 */

/** What one mirror costs its machine. Fitted to the benchmark. */
export interface Figures {
  /** Processor seconds to send a GiB that is here, or that comes in while it is sent. */
  readonly sendCpuSecondsPerGiB: number;
  /** Undefined where it was not measured: nothing can be said of TLS then. */
  readonly sendTlsCpuSecondsPerGiB: number | undefined;
  /** Processor seconds to fetch, hash and store a GiB. */
  readonly ingestCpuSecondsPerGiB: number;
  /** Processor seconds for a manifest, a HEAD or a ping. */
  readonly requestCpuSeconds: number;
  /** From a node's request to the first byte of a cold blob, for each mirror on its way. */
  readonly firstByteSeconds: number;
}

export interface Machine {
  readonly cores: number;
  /** All rates are bytes a second. */
  readonly network: number;
  readonly diskWrite: number;
  readonly diskRead: number;
  /** What of its memory the system can keep files in. */
  readonly pageCache: number;
}

export type Topology = 'none' | 'one' | 'rack' | 'tree';

export interface Rollout {
  readonly topology: Topology;
  readonly nodes: number;
  readonly imageBytes: number;
  /** Requests of one node beside those for bytes: ping, tag, index, manifest, and one for each layer. */
  readonly requests: number;
  readonly nodesInRack: number;
  /** The line to the registry outside, shared by all. */
  readonly line: number;
  readonly nodeNetwork: number;
  /** Between a rack and the rest. */
  readonly rackUplink: number;
  readonly mirror: Machine;
  readonly isTls: boolean;
}

export interface Share {
  readonly resource: string;
  readonly seconds: number;
}

export interface Prediction {
  readonly seconds: number;
  /** The slowest. */
  readonly limit: string;
  /** All of them, the slowest first. */
  readonly shares: readonly Share[];
  /** What comes over the line. */
  readonly lineBytes: number;
}

const GIB = 1024 ** 3;

export function predict(rollout: Rollout, figures: Figures): Prediction {
  const { topology, nodes, imageBytes, nodesInRack, line, nodeNetwork, rackUplink } = rollout;
  const racks = Math.ceil(nodes / nodesInRack);
  const inRack = Math.min(nodes, nodesInRack);
  const pullers = { none: nodes, one: 1, rack: racks, tree: 1 }[topology];
  const lineBytes = pullers * imageBytes;
  const shares: Share[] = [
    { resource: 'the line', seconds: lineBytes / line },
    { resource: "a node's network card", seconds: imageBytes / nodeNetwork },
    // A mirror in the rack keeps what its nodes pull off the uplink.
    {
      resource: "a rack's uplink",
      seconds: ((topology === 'rack' || topology === 'tree' ? 1 : inRack) * imageBytes) / rackUplink,
    },
  ];
  if (topology === 'one') shares.push(...mirrorShares('the mirror', nodes, rollout, figures));
  if (topology === 'tree') shares.push(...mirrorShares('the root', racks, rollout, figures));
  if (topology === 'rack' || topology === 'tree')
    shares.push(...mirrorShares("a rack's mirror", inRack, rollout, figures));
  shares.sort((a, b) => b.seconds - a.seconds);
  const [{ resource: limit, seconds }] = shares as [Share, ...Share[]];
  const levels = { none: 0, one: 1, rack: 1, tree: 2 }[topology];
  return { seconds: seconds + levels * figures.firstByteSeconds, limit, shares, lineBytes };
}

/** What a mirror with so many clients needs of its machine. */
function mirrorShares(name: string, clients: number, rollout: Rollout, figures: Figures): Share[] {
  const { imageBytes, requests, isTls, mirror } = rollout;
  const sent = clients * imageBytes;
  const sendCpu = isTls ? (figures.sendTlsCpuSecondsPerGiB ?? NaN) : figures.sendCpuSecondsPerGiB;
  const cpuSeconds =
    (sent / GIB) * sendCpu +
    (imageBytes / GIB) * figures.ingestCpuSecondsPerGiB +
    clients * requests * figures.requestCpuSeconds;
  // What fits into memory is read from there, however many want it; what does not is read for each of them.
  const read = imageBytes > mirror.pageCache ? sent : 0;
  return [
    { resource: `${name}'s network card`, seconds: sent / mirror.network },
    { resource: `${name}'s processor`, seconds: cpuSeconds / mirror.cores },
    { resource: `${name}'s disk`, seconds: imageBytes / mirror.diskWrite + read / mirror.diskRead },
  ];
}
