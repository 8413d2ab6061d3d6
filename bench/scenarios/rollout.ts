/** A whole image pulled by twenty machines at once, as docker does it, first into an empty cache and then from it. */
import { buildImage, type Image } from '../images.ts';
import type { Puller } from '../load/client.ts';
import { peersOf } from '../peers/peers.ts';
import type { Options, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { measuredPull, withEmptyCache } from './cold-run.ts';
import { LINE_BYTES_PER_SECOND, openSite, TAG } from './cold-site.ts';

const REPOSITORY = 'bench/rollout';
/** dockerd, `max-concurrent-downloads`. */
const LAYERS_AT_ONCE = 3;
/** Of an image of a service as they are published: a base, a runtime, dependencies, code, and many small steps; bytes. */
const LAYER_BYTES = [
  29_126_484, 3_509_120, 64_142_336, 12_582_912, 248, 5_242_880, 118_489_088, 47_185_920, 1_048_576,
  22_020_096, 3_154, 512,
];

export const rollout: Scenario = {
  name: 'rollout',
  title:
    'An image of 12 layers pulled as docker does, all machines sharing a line of 100 MiB/s to the upstream',
  measures: ['wall', 'cpuPerGiB', 'peakRss', 'upstreamRequests', 'upstreamBytes'],
  run,
};

async function run(options: Options, record: (sample: Sample) => void): Promise<void> {
  const { isShort } = options;
  const sizes = isShort ? LAYER_BYTES.map((size) => Math.ceil(size / 32)) : LAYER_BYTES;
  const image = buildImage('rollout', sizes);
  await using site = await openSite(REPOSITORY, image, { total: LINE_BYTES_PER_SECOND });
  const clients = isShort ? 4 : 20;
  const pullers = Array.from({ length: clients }, () => machine(image));
  const common = { scenario: rollout.name, site, upstreamUrl: site.lineUrl, isShort };
  await inTurns(options, peersOf(options), (peer) =>
    withEmptyCache(peer, common, async (running) => {
      for (const state of ['cold', 'warm']) {
        const coldCase = { ...common, case: `${clients} clients, ${state}` };
        record({ ...(await measuredPull(running, coldCase, pullers)), peer: peer.name });
      }
    }),
  );
}

/** One that pulls the image: where the tag points, the manifest, its config, then the layers, the lowest first. */
function machine({ manifest, config, layers }: Image): Puller {
  const under = `/v2/${REPOSITORY}`;
  return {
    connections: LAYERS_AT_ONCE,
    stages: [
      [`HEAD ${under}/manifests/${TAG}`],
      [`${under}/manifests/${TAG}`],
      [`${under}/manifests/${manifest.digest}`],
      [`${under}/blobs/${config.digest}`],
      layers.map(({ digest }) => `${under}/blobs/${digest}`),
    ],
  };
}
