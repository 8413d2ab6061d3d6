/** Fast clients, and somebody with small requests, while fifty slow clients read the same layer. */
import { setTimeout } from 'node:timers/promises';
import { buildImage } from '../images.ts';
import { pull, readers, type Puller } from '../load/client.ts';
import { peersOf } from '../peers/peers.ts';
import { measure } from '../support/process-usage.ts';
import type { Options, Peer, Running, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { untilAtRest, withEmptyCache, type ColdCase } from './cold-run.ts';
import { LINE_BYTES_PER_SECOND, MiB, openSite } from './cold-site.ts';
import { probeDuring } from './slow-probe.ts';

const REPOSITORY = 'bench/slow';
const SLOW_BYTES_PER_SECOND = 1_000_000;
/** So that the small layer of the smoke test is read in a second: a killed server's kernel still sends what it has. */
const SLOW_BYTES_PER_SECOND_SHORT = 8_000_000;
const FAST_CLIENTS = 4;
/** Of each of them: it takes some seconds to see what happens to the small requests. */
const WARM_PULLS = 4;

export const slow: Scenario = {
  name: 'slow',
  title:
    'Four fast clients on a layer that slow ones read at 1 MB/s, and the latency of manifests beside them',
  measures: ['wall', 'firstByteMax', 'p50', 'p99', 'cpuPerGiB', 'peakRss'],
  run,
};

interface SlowCase extends ColdCase {
  readonly slowClients: number;
  readonly isWarm: boolean;
  readonly layer: string;
  readonly manifest: string;
}

async function run(options: Options, record: (sample: Sample) => void): Promise<void> {
  const { isShort } = options;
  const image = buildImage('slow', [(isShort ? 8 : 1024) * MiB]);
  await using site = await openSite(REPOSITORY, image, { total: LINE_BYTES_PER_SECOND });
  const common = {
    ...{ scenario: slow.name, site, upstreamUrl: site.lineUrl, isShort },
    layer: `/v2/${REPOSITORY}/blobs/${image.layers[0]?.digest ?? ''}`,
    manifest: `/v2/${REPOSITORY}/manifests/${image.manifest.digest}`,
  };
  const many = isShort ? 4 : 50;
  const cases = [
    { ...common, case: 'warm, no slow ones', isWarm: true, slowClients: 0 },
    { ...common, case: `warm, ${many} slow ones`, isWarm: true, slowClients: many },
    { ...common, case: `cold at 100 MiB/s, ${many} slow ones`, isWarm: false, slowClients: many },
  ];
  for (const slowCase of isShort ? cases.slice(1) : cases) {
    await inTurns(options, peersOf(options), async (peer) => record(await turn(peer, slowCase)));
  }
}

async function turn(peer: Peer, slowCase: SlowCase): Promise<Sample> {
  return withEmptyCache(peer, slowCase, async (running) => {
    await warmUp(running, slowCase);
    const crawling = pull({ url: running.url, pullers: slowReaders(slowCase), timeoutSeconds: 3600 });
    // Until the slow ones are all at it.
    await setTimeout(slowCase.isShort ? 200 : 1000);
    const sample = await measured(running, slowCase);
    // In the middle of their layer, and without the grace that a server would have for them.
    for (const pid of running.pids()) process.kill(pid, 'SIGKILL');
    const { bytes } = await crawling;
    if (bytes === 0 && slowCase.slowClients > 0) throw new Error(`${peer.name} gave the slow ones nothing`);
    return { ...sample, peer: peer.name };
  });
}

async function warmUp(running: Running, slowCase: SlowCase): Promise<void> {
  const paths = [slowCase.manifest, ...(slowCase.isWarm ? [slowCase.layer] : [])];
  const { firstError } = await pull({ url: running.url, pullers: readers(1, ...paths) });
  if (firstError !== undefined) throw new Error(`the cache can not be filled: ${firstError}`);
  await untilAtRest(running, slowCase);
  await slowCase.site.upstream.traffic();
}

async function measured(running: Running, slowCase: SlowCase): Promise<Omit<Sample, 'peer'>> {
  const { result, cpuSeconds, peakRssBytes } = await measure(running, () => {
    const layers = Array<string>(slowCase.isWarm ? WARM_PULLS : 1).fill(slowCase.layer);
    const fast = pull({ url: running.url, pullers: readers(FAST_CLIENTS, ...layers) });
    return probeDuring(`${running.url}${slowCase.manifest}`, fast);
  });
  const { result: pulled, p50Ms, p99Ms } = result;
  return {
    ...{ scenario: slowCase.scenario, case: slowCase.case, cpuSeconds, peakRssBytes, p50Ms, p99Ms },
    ...{ wallSeconds: pulled.wallSeconds, bytes: pulled.bytes, requests: result.requests },
    errors: pulled.errors + result.errors,
    ...(pulled.firstError === undefined ? {} : { firstError: pulled.firstError }),
    ...(pulled.firstByteMs ? { firstByteMs: pulled.firstByteMs } : {}),
  };
}

function slowReaders({ slowClients, layer, isShort }: SlowCase): readonly Puller[] {
  return Array.from({ length: slowClients }, () => ({
    bytesPerSecond: isShort ? SLOW_BYTES_PER_SECOND_SHORT : SLOW_BYTES_PER_SECOND,
    stages: [[layer]],
  }));
}
