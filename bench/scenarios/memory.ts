/** What a server keeps in memory: with nothing to do, under many readers of a cold and of a warm layer, and afterwards. */
import { setTimeout } from 'node:timers/promises';
import { buildImage } from '../images.ts';
import { pull, readers } from '../load/client.ts';
import { peersOf } from '../peers/peers.ts';
import { measure } from '../support/process-usage.ts';
import type { Options, Peer, Running, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { freshDirectory, removeDirectory } from '../support/workspace.ts';
import { untilAtRest } from './cold-run.ts';
import { MiB, openSite, type Site } from './cold-site.ts';

const NAME = 'memory';
const REPOSITORY = 'bench/memory';
/** A round takes minutes, and what it shows hardly varies. */
const MOST_ROUNDS = 3;

interface Load {
  readonly layerBytes: number;
  readonly coldReaders: number;
  readonly warmReaders: number;
  /** After the start, until it counts as idle, and after a load, until it has had time to give back what it took. */
  readonly settleMs: number;
  readonly restMs: number;
}

const FULL: Load = {
  layerBytes: 1024 * MiB,
  coldReaders: 100,
  warmReaders: 64,
  settleMs: 5000,
  restMs: 60_000,
};
const SHORT: Load = { layerBytes: 8 * MiB, coldReaders: 4, warmReaders: 4, settleMs: 2000, restMs: 1000 };

export const memory: Scenario = {
  name: NAME,
  title: 'Memory: idle, under many readers, and afterwards',
  measures: ['peakRss', 'throughput'],
  async run(options, record) {
    const { isShort, rounds } = options;
    const load = isShort ? SHORT : FULL;
    const image = buildImage(NAME, [load.layerBytes]);
    await using site = await openSite(REPOSITORY, image, {});
    const paths = image.layers.map(({ digest }) => `/v2/${REPOSITORY}/blobs/${digest}`);
    await inTurns({ rounds: Math.min(rounds, MOST_ROUNDS) }, peersOf(options), async (peer) => {
      const recordPeer = (sample: Measured) => record({ scenario: NAME, peer: peer.name, ...sample });
      await measurePeer(peer, { site, load, paths, options }, recordPeer);
    });
  },
};

type Measured = Omit<Sample, 'scenario' | 'peer'>;

interface Run {
  readonly site: Site;
  readonly load: Load;
  readonly paths: readonly string[];
  readonly options: Options;
}

/** Cold and warm readers meet a process each: what the first ones leave behind is not the second ones'. */
async function measurePeer(peer: Peer, run: Run, record: (sample: Measured) => void): Promise<void> {
  const { site, load } = run;
  const directory = await freshDirectory(peer.name);
  const setup = { upstreamUrl: site.upstream.url, directory };
  try {
    {
      await using running = await peer.start(setup);
      record(await atRest(running, 'idle, empty', load.settleMs));
      record(await underReaders(running, `${load.coldReaders} readers, cold`, load.coldReaders, run));
      await untilAtRest(running, run.options);
      record(await atRest(running, 'after cold readers', load.restMs));
    }
    await using running = await peer.start(setup);
    record(await atRest(running, 'idle, restarted', load.settleMs));
    record(await underReaders(running, `${load.warmReaders} readers, warm`, load.warmReaders, run));
    record(await atRest(running, 'after warm readers', load.restMs));
  } finally {
    await removeDirectory(directory);
  }
}

/** What it has at the end of that time. */
async function atRest(running: Running, name: string, ms: number): Promise<Measured> {
  const waited = await measure(running, () => setTimeout(ms));
  const { peakRssBytes } = await measure(running, () => Promise.resolve());
  const { wallSeconds, cpuSeconds } = waited;
  return { case: name, errors: 0, wallSeconds, cpuSeconds, peakRssBytes };
}

async function underReaders(
  running: Running,
  name: string,
  count: number,
  { paths, load, site }: Run,
): Promise<Measured> {
  const { result, ...usage } = await measure(running, () =>
    pull({ url: running.url, pullers: readers(count, ...paths) }),
  );
  await site.upstream.traffic();
  const { bytes, requests, errors, firstError } = result;
  const isWhole = errors > 0 || bytes === load.layerBytes * count;
  return {
    ...{ case: name, ...usage, wallSeconds: result.wallSeconds, bytes, requests },
    errors: isWhole ? errors : 1,
    ...(firstError === undefined ? {} : { firstError }),
    ...(isWhole ? {} : { firstError: `${bytes} bytes came` }),
  };
}
