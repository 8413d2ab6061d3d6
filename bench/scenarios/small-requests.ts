/** Small answers from a warm cache: manifests by digest and by tag, blobs of 1 KiB, and HEADs of all of them. */
import { buildImage, pushImage, type Image } from '../images.ts';
import { hammers, pull } from '../load/client.ts';
import { measure } from '../support/process-usage.ts';
import type { Options, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { startWarmPeers, type WarmPeers } from './warm-peers.ts';

const LAYER_BYTES = 1024;

interface Sizes {
  readonly repositories: number;
  readonly layersOfEach: number;
  readonly connections: readonly number[];
  readonly seconds: number;
}

const FULL: Sizes = { repositories: 200, layersOfEach: 5, connections: [32, 128], seconds: 2 };
const SHORT: Sizes = { repositories: 4, layersOfEach: 2, connections: [8], seconds: 0.2 };

interface Kind {
  readonly name: string;
  readonly method: 'GET' | 'HEAD';
  readonly paths: readonly string[];
}

export const smallRequests: Scenario = {
  name: 'small-requests',
  title: 'Manifests, small blobs and HEADs',
  measures: ['requestRate', 'cpuPerRequest', 'p50', 'p99', 'peakRss', 'upstreamRequests'],
  run: async (options, record) => {
    const { repositories, layersOfEach, connections, seconds } = options.isShort ? SHORT : FULL;
    const images = Array.from({ length: repositories }, (_, index) => {
      const image = buildImage(`small-${index}`, Array<number>(layersOfEach).fill(LAYER_BYTES));
      return { repository: `bench/small-${index}`, image };
    });
    const kinds = kindsOf(images);
    await using warm = await startWarmPeers(options, {
      fill: async (url) => {
        for (const { repository, image } of images) await pushImage(url, repository, 'latest', image);
      },
      paths: kinds.filter(({ method }) => method === 'GET').flatMap(({ paths }) => paths),
    });
    for (const kind of kinds) {
      for (const count of connections) await measureCase(options, warm, { kind, count, seconds }, record);
    }
  },
};

function kindsOf(images: readonly { readonly repository: string; readonly image: Image }[]): readonly Kind[] {
  const byDigest = images.map(
    ({ repository, image }) => `/v2/${repository}/manifests/${image.manifest.digest}`,
  );
  const byTag = images.map(({ repository }) => `/v2/${repository}/manifests/latest`);
  const blobs = images.flatMap(({ repository, image }) =>
    image.layers.map(({ digest }) => `/v2/${repository}/blobs/${digest}`),
  );
  return [
    { name: 'manifest by digest', method: 'GET', paths: byDigest },
    { name: 'manifest by tag', method: 'GET', paths: byTag },
    { name: '1 KiB blob', method: 'GET', paths: blobs },
    { name: 'HEAD by digest', method: 'HEAD', paths: byDigest },
    { name: 'HEAD by tag', method: 'HEAD', paths: byTag },
    { name: 'HEAD of a blob', method: 'HEAD', paths: blobs },
  ];
}

interface Load {
  readonly kind: Kind;
  /** Connections. */
  readonly count: number;
  readonly seconds: number;
}

async function measureCase(
  options: Options,
  { peers, upstream }: WarmPeers,
  { kind, count, seconds }: Load,
  record: (sample: Sample) => void,
): Promise<void> {
  const pullers = hammers(
    count,
    kind.paths.map((path) => `${kind.method} ${path}`),
  );
  await inTurns(options, peers, async ({ name, running }) => {
    const { url } = running;
    // The first second of a kind of request is the one in which Node.js compiles what answers it.
    await pull({ url, pullers, loopSeconds: seconds / 3 });
    await upstream.traffic();
    const { result, ...usage } = await measure(running, () => pull({ url, pullers, loopSeconds: seconds }));
    const traffic = await upstream.traffic();
    const { requests, errors, firstError, latencyMs, wallSeconds } = result;
    record({
      ...{ scenario: 'small-requests', case: `${kind.name}, ${count} connections`, peer: name },
      ...{ ...usage, wallSeconds, requests, errors },
      ...(firstError === undefined ? {} : { firstError }),
      ...(latencyMs ? { p50Ms: latencyMs.p50, p99Ms: latencyMs.p99 } : {}),
      ...{ upstreamRequests: traffic.requests, upstreamBytes: traffic.bytes },
    });
  });
}
