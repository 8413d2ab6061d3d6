/** What can be read off a sample: its name in tables, its unit, and whether it is compared between peers. */
import type { MeasureName, Sample, Scenario } from '../support/scenario.ts';

export interface Measure {
  readonly title: string;
  readonly unit: string;
  /** Higher is better; else lower is. */
  readonly isGain?: boolean;
  /** Whether ratios between the peers are shown. */
  readonly isCompared?: boolean;
  /** @returns undefined where the sample does not have it */
  of(sample: Sample): number | undefined;
}

const GIB = 2 ** 30;
const MIB = 2 ** 20;

/** In the order of the columns. */
export const MEASURES: Readonly<Record<MeasureName, Measure>> = {
  throughput: {
    ...{ title: 'throughput', unit: 'GiB/s', isGain: true, isCompared: true },
    of: ({ bytes, wallSeconds }) => (bytes ? bytes / GIB / wallSeconds : undefined),
  },
  requestRate: {
    ...{ title: 'requests', unit: '/s', isGain: true, isCompared: true },
    of: ({ requests, wallSeconds }) => (requests ? requests / wallSeconds : undefined),
  },
  wall: { title: 'wall', unit: 's', isCompared: true, of: ({ wallSeconds }) => wallSeconds },
  firstByteMin: { title: 'first byte, fastest', unit: 'ms', of: ({ firstByteMs }) => firstByteMs?.min },
  firstByte: { title: 'first byte, median', unit: 'ms', of: ({ firstByteMs }) => firstByteMs?.median },
  firstByteMax: { title: 'first byte, slowest', unit: 'ms', of: ({ firstByteMs }) => firstByteMs?.max },
  p50: { title: 'p50', unit: 'ms', of: ({ p50Ms }) => p50Ms },
  p99: { title: 'p99', unit: 'ms', of: ({ p99Ms }) => p99Ms },
  cpu: { title: 'CPU', unit: 's', of: ({ cpuSeconds }) => cpuSeconds },
  cpuPerGiB: {
    ...{ title: 'CPU', unit: 's/GiB', isCompared: true },
    of: ({ bytes, cpuSeconds }) => (bytes ? cpuSeconds / (bytes / GIB) : undefined),
  },
  cpuPerRequest: {
    ...{ title: 'CPU', unit: 'µs/request', isCompared: true },
    of: ({ requests, cpuSeconds }) => (requests ? (cpuSeconds * 1e6) / requests : undefined),
  },
  peakRss: {
    ...{ title: 'peak memory', unit: 'MiB' },
    of: ({ peakRssBytes }) => (peakRssBytes === undefined ? undefined : peakRssBytes / MIB),
  },
  upstreamRequests: {
    ...{ title: 'upstream', unit: 'requests' },
    of: ({ upstreamRequests }) => upstreamRequests,
  },
  upstreamBytes: {
    ...{ title: 'upstream', unit: 'MiB' },
    of: ({ upstreamBytes }) => (upstreamBytes === undefined ? undefined : upstreamBytes / MIB),
  },
};

/** Of a sample with bytes those say more: its requests are few. And a sum of CPU says nothing beside its quotient. */
const ONLY_WITHOUT_BYTES: readonly MeasureName[] = ['requestRate', 'cpuPerRequest', 'cpu'];

/** The columns of the scenario's table. */
export function measuresOf({ measures }: Scenario, samples: readonly Sample[]): readonly MeasureName[] {
  const present = (name: MeasureName) =>
    samples.some((sample) => {
      const isAside = ONLY_WITHOUT_BYTES.includes(name) && Boolean(sample.bytes);
      return !isAside && MEASURES[name].of(sample) !== undefined;
    });
  return measures ?? (Object.keys(MEASURES) as MeasureName[]).filter(present);
}
