/** What a mirror costs its machine, taken from the samples of a run of the benchmark. */
import { medianOf } from '../support/statistics.ts';
import type { Sample } from '../support/scenario.ts';
import type { Figures, Rollout } from './rollout.ts';
import type { Check } from './tables.ts';

const GIB = 1024 ** 3;
const LINE = 100 * 1024 ** 2;

/** @throws Error where the run lacks a case that the model needs */
export function fitFigures(samples: readonly Sample[]): Figures {
  const cpuPerGiB = (scenario: string, name: string) =>
    median(samples, scenario, name, ({ cpuSeconds, bytes }) => cpuSeconds / ((bytes ?? NaN) / GIB));
  const firstByte = (peer: Sample['peer']) =>
    median(samples, 'cold', '64 MiB, 100 MiB/s', ({ firstByteMs }) => firstByteMs?.median ?? NaN, peer);
  const sendCpuSecondsPerGiB = cpuPerGiB('warm-layers', '1 GiB, 16 readers');
  return {
    sendCpuSecondsPerGiB,
    sendTlsCpuSecondsPerGiB: samples.some(({ scenario }) => scenario === 'warm-layers-tls')
      ? cpuPerGiB('warm-layers-tls', '1 GiB, 16 readers')
      : undefined,
    // A cold pull is sent as well.
    ingestCpuSecondsPerGiB: cpuPerGiB('cold', '1024 MiB, unthrottled') - sendCpuSecondsPerGiB,
    requestCpuSeconds: median(
      samples,
      'small-requests',
      'manifest by digest, 32 connections',
      ({ cpuSeconds, requests }) => cpuSeconds / (requests ?? NaN),
    ),
    firstByteSeconds: Math.max(0, firstByte('entrepot') - firstByte('direct')) / 1000,
  };
}

/** What was measured of whole rollouts, to be held against the model: on loopback there is no network to be the limit. */
export function checksOf(samples: readonly Sample[], cores: number): readonly Check[] {
  const wall = (scenario: string, name: string) =>
    median(samples, scenario, name, ({ wallSeconds }) => wallSeconds);
  const onLoopback = (nodes: number, imageBytes: number, line: number): Rollout => ({
    ...{ topology: 'one', nodes, imageBytes, line, requests: 16, nodesInRack: nodes, isTls: false },
    ...{ nodeNetwork: Infinity, rackUplink: Infinity },
    mirror: { cores, network: Infinity, diskWrite: Infinity, diskRead: Infinity, pageCache: Infinity },
  });
  const hasHerd = samples.some(({ scenario }) => scenario === 'herd');
  const clientsOfLayer = (hasHerd ? [20, 100] : []).map((clients) => ({
    what: `${clients} clients, one cold layer of 1 GiB, a line of 100 MiB/s`,
    measuredSeconds: wall('herd', `${clients} clients, 1024 MiB, 100 MiB/s a connection`),
    rollout: onLoopback(clients, GIB, LINE),
  }));
  const readers = {
    what: '16 clients, a warm layer of 1 GiB',
    measuredSeconds: wall('warm-layers', '1 GiB, 16 readers'),
    rollout: onLoopback(16, GIB, Infinity),
  };
  return [...clientsOfLayer, readers];
}

function median(
  samples: readonly Sample[],
  scenario: string,
  name: string,
  figure: (sample: Sample) => number,
  peer: Sample['peer'] = 'entrepot',
): number {
  const own = samples.filter(
    (sample) => sample.scenario === scenario && sample.case === name && sample.peer === peer,
  );
  const found = medianOf(own.map(figure));
  if (found === undefined || Number.isNaN(found)) {
    throw new Error(`the run of the benchmark has nothing of ${peer} in ${scenario}, ${name}`);
  }
  return found;
}
