/** How long it takes from the start of the process to the first answer, with an empty cache and with a full one. */
import { entrepot } from '../peers/entrepot.ts';
import { peersOf } from '../peers/peers.ts';
import { cpuSeconds, peakRssBytes } from '../support/process-usage.ts';
import type { Options, Peer, PeerName, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { freshDirectory, removeDirectory } from '../support/workspace.ts';
import { UpstreamRegistry } from '../upstream/registry.ts';
import { FILL_CACHE } from './startup-caches.ts';

/** The files are of holes and say that they are far larger than the disk: nothing is to be evicted for that. */
const BOUNDLESS: Peer = entrepot('entrepot', { ENTREPOT_CACHE_MAX_SIZE: '1PiB' });

export const startup: Scenario = {
  name: 'startup',
  title: 'From the start of the process to its first answer',
  measures: ['wall', 'cpu', 'peakRss'],
  run,
};

async function run(options: Options, record: (sample: Sample) => void): Promise<void> {
  const blobs = options.isShort ? 1000 : 100_000;
  const peers = peersOf(options).map((peer) => (peer.name === 'entrepot' ? BOUNDLESS : peer));
  await using stack = new AsyncDisposableStack();
  const directoryFor = async (name: string) => {
    const directory = await freshDirectory(name);
    stack.defer(() => removeDirectory(directory));
    return directory;
  };
  const upstream = stack.use(await UpstreamRegistry.start(await directoryFor('upstream')));
  const start = async (name: string, peer: Peer, directory: string) => {
    record(await startOf(name, peer, { directory, upstreamUrl: upstream.url }));
  };
  await inTurns(options, peers, async (peer) => start('empty cache', peer, await directoryFor(peer.name)));

  const full = new Map<PeerName, string>();
  for (const { name } of peers) {
    const fill = FILL_CACHE[name];
    if (fill === undefined) continue;
    const directory = await directoryFor(name);
    await fill(directory, blobs);
    full.set(name, directory);
  }
  await inTurns(options, peers, async (peer) =>
    start(`${blobs} blobs`, peer, full.get(peer.name) ?? (await directoryFor(peer.name))),
  );
}

/** The wall time is that of the start, to a hundredth of a second: so often is the server asked whether it is there. */
async function startOf(
  name: string,
  peer: Peer,
  setup: { readonly directory: string; readonly upstreamUrl: string },
): Promise<Sample> {
  const begin = performance.now();
  await using running = await peer.start(setup);
  const wallSeconds = (performance.now() - begin) / 1000;
  const pids = running.pids();
  return {
    ...{ scenario: startup.name, case: name, peer: peer.name, wallSeconds, errors: 0 },
    ...{ cpuSeconds: cpuSeconds(pids), peakRssBytes: peakRssBytes(pids) },
  };
}
