/** The scenario `index`: what the mirror does with its index takes as long for a million blobs as for ten thousand. */
import { join } from 'node:path';
import type { Options, Sample, Scenario } from '../support/scenario.ts';
import { freshDirectory, removeDirectory } from '../support/workspace.ts';
import { generate } from './generate.ts';
import { measureIndex, type IndexScale } from './index-scale.ts';

const ROUNDS = 500;
const SHORT_ROUNDS = 20;

export const indexScale: Scenario = {
  name: 'index',
  title: 'The index with ten thousand and with a million blobs',
  measures: ['p50', 'p99', 'wall', 'cpuPerRequest', 'peakRss'],
  run,
};

async function run({ isShort }: Options, record: (sample: Sample) => void): Promise<void> {
  for (const blobs of isShort ? [1000, 10_000] : [10_000, 1_000_000]) {
    const directory = await freshDirectory('index');
    try {
      await generate({ directory: join(directory, 'data'), blobs });
      samplesOf(await measureIndex(directory, blobs, isShort ? SHORT_ROUNDS : ROUNDS)).forEach(record);
    } finally {
      await removeDirectory(directory);
    }
  }
}

function samplesOf({ blobs, timings, starts, rssBytes }: IndexScale): Sample[] {
  const common = { scenario: indexScale.name, peer: 'entrepot', errors: 0 } as const;
  const { afterEnd, afterKill } = starts;
  return [
    ...timings.map(({ operation, count, wallSeconds, cpuSeconds, p50Ms, p99Ms }) => ({
      ...{ ...common, case: `${operation} (${blobs} blobs)`, requests: count },
      ...{ wallSeconds, cpuSeconds, p50Ms, p99Ms, peakRssBytes: rssBytes },
    })),
    ...[
      { name: 'start', start: afterEnd },
      { name: 'start after a kill', start: afterKill },
    ].map(({ name, start }) => ({
      ...{ ...common, case: `${name} (${blobs} blobs)`, peakRssBytes: start.rssBytes },
      ...{ wallSeconds: start.wallSeconds, cpuSeconds: start.cpuSeconds },
      ...{ p50Ms: start.p50Ms, p99Ms: start.p99Ms },
    })),
  ];
}
