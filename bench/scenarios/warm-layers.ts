/** Warm layers: what one, a few and many readers get of a layer that is cached, over plain HTTP and over TLS. */
import { pushBlob, randomBlob, type Blob } from '../images.ts';
import { pull, readers } from '../load/client.ts';
import { measure } from '../support/process-usage.ts';
import type { Options, Sample, Scenario } from '../support/scenario.ts';
import { inTurns } from '../support/turns.ts';
import { startWarmPeers, type WarmPeer, type WarmPeers } from './warm-peers.ts';

const MIB = 2 ** 20;
const REPOSITORY = 'bench/layers';

/** The kernel counts processor time in hundredths of a second: a run has to take some of them. */
const LEAST_BYTES = 2048 * MIB;
const LEAST_BYTES_SHORT = 32 * MIB;
/** What moves as much as that varies little, and takes half a minute for each peer: it is run once. */
const ONCE_BYTES = 48 * 1024 * MIB;
const ONCE_BYTES_TLS = 12 * 1024 * MIB;

interface Sizes {
  readonly layers: readonly number[];
  readonly readers: readonly number[];
  readonly leastBytes: number;
}

const FULL: Sizes = { layers: [1024 * MIB, 64 * MIB], readers: [1, 4, 16, 64], leastBytes: LEAST_BYTES };
const SHORT: Sizes = { layers: [8 * MIB], readers: [1, 4], leastBytes: LEAST_BYTES_SHORT };

export const warmLayers: Scenario = scenario('warm-layers', 'Warm layers', false);
export const warmLayersTls: Scenario = scenario('warm-layers-tls', 'Warm layers over TLS', true);

function scenario(name: string, title: string, isTls: boolean): Scenario {
  return {
    name,
    title,
    measures: ['throughput', 'cpuPerGiB', 'firstByte', 'peakRss'],
    run: async (options, record) => {
      const { layers, readers: counts, leastBytes } = options.isShort ? SHORT : FULL;
      const blobs = layers.map((size) => randomBlob('layer', size));
      await using warm = await startWarmPeers(options, {
        isTls,
        fill: async (url) => {
          for (const blob of blobs) await pushBlob(url, REPOSITORY, blob);
        },
        paths: blobs.map(pathOf),
      });
      for (const blob of blobs) {
        for (const count of counts) {
          const load = { blob, count, repeats: Math.ceil(leastBytes / blob.size / count) };
          const isLong = blob.size * count * load.repeats >= (isTls ? ONCE_BYTES_TLS : ONCE_BYTES);
          await measureCase(name, isLong ? { ...options, rounds: 1 } : options, warm, load, record);
        }
      }
    },
  };
}

interface Load {
  readonly blob: Blob;
  readonly count: number;
  /** By each reader, one after the other. */
  readonly repeats: number;
}

async function measureCase(
  scenarioName: string,
  options: Options,
  { peers, upstream }: WarmPeers,
  { blob, count, repeats }: Load,
  record: (sample: Sample) => void,
): Promise<void> {
  const path = pathOf(blob);
  await inTurns(options, peers, async ({ name, running }: WarmPeer) => {
    // Reads the file once, so that no peer pays for what the kernel has dropped from its page cache meanwhile.
    await pull({ url: running.url, pullers: readers(1, path) });
    await upstream.traffic();
    const { result, ...usage } = await measure(running, () =>
      pull({ url: running.url, pullers: readers(count, ...Array<string>(repeats).fill(path)) }),
    );
    const { bytes, requests, errors, firstError, firstByteMs, wallSeconds } = result;
    const isWhole = errors > 0 || bytes === blob.size * count * repeats;
    const traffic = await upstream.traffic();
    record({
      ...{ scenario: scenarioName, case: caseOf(blob, count), peer: name, ...usage, wallSeconds },
      ...{ bytes, requests, errors: isWhole ? errors : 1 },
      ...(firstError === undefined ? {} : { firstError }),
      ...(isWhole ? {} : { firstError: `${bytes} bytes came` }),
      ...(firstByteMs ? { firstByteMs } : {}),
      ...{ upstreamRequests: traffic.requests, upstreamBytes: traffic.bytes },
    });
  });
}

const pathOf = ({ digest }: Blob) => `/v2/${REPOSITORY}/blobs/${digest}`;

function caseOf({ size }: Blob, count: number): string {
  const text = size >= 1024 * MIB ? `${size / 1024 / MIB} GiB` : `${size / MIB} MiB`;
  return `${text}, ${count} ${count === 1 ? 'reader' : 'readers'}`;
}
