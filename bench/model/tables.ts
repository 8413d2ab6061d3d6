/** The predictions as the tables of docs/scale.md. */
import {
  predict,
  type Figures,
  type Machine,
  type Prediction,
  type Rollout,
  type Topology,
} from './rollout.ts';

const GIB = 1024 ** 3;
const MBIT = 1_000_000 / 8;
const GBIT = 1000 * MBIT;

export const TOPOLOGIES: Readonly<Record<Topology, string>> = {
  none: 'no mirror',
  one: 'one mirror',
  rack: 'one a rack',
  tree: 'a root and one a rack',
};

const SMALL_SERVER: Machine = {
  cores: 4,
  network: 10 * GBIT,
  diskWrite: 1e9,
  diskRead: 2e9,
  pageCache: 12 * GIB,
};

export const DEFAULTS: Omit<Rollout, 'topology' | 'nodes'> = {
  imageBytes: 2 * GIB,
  requests: 16,
  nodesInRack: 40,
  line: GBIT,
  nodeNetwork: 10 * GBIT,
  rackUplink: 40 * GBIT,
  mirror: SMALL_SERVER,
  isTls: false,
};

/** The three sizes of the question, each with each topology. */
export function rolloutTable(
  figures: Figures,
  changes: Partial<Rollout> = {},
  topologies: readonly Topology[] = ['none', 'one', 'rack', 'tree'],
): string {
  const rows = [100, 1000, 10_000].flatMap((nodes) =>
    topologies.map((topology) => {
      const prediction = predict({ ...DEFAULTS, ...changes, topology, nodes }, figures);
      return [
        String(nodes),
        TOPOLOGIES[topology],
        duration(prediction.seconds),
        prediction.limit,
        nextOf(prediction),
        bytes(prediction.lineBytes),
      ];
    }),
  );
  return table(
    ['nodes', 'mirrors', 'all layers everywhere after', 'limited by', 'next', 'over the line'],
    rows,
  );
}

/** Where one mirror's resources end, in bytes that it can send a second. */
export function limitsTable(figures: Figures): string {
  const perCore = (secondsPerGib: number) => GIB / secondsPerGib;
  const rows = [1, 4, 16].map((cores) => [
    String(cores),
    rate(cores * perCore(figures.sendCpuSecondsPerGiB)),
    figures.sendTlsCpuSecondsPerGiB === undefined
      ? 'not measured'
      : rate(cores * perCore(figures.sendTlsCpuSecondsPerGiB)),
    rate(perCore(figures.ingestCpuSecondsPerGiB)),
    `${Math.round(cores / figures.requestCpuSeconds / 1000)} 000/s`,
  ]);
  return table(['cores', 'layers, plain', 'layers, TLS', 'layers coming in', 'manifests'], rows);
}

/** What was measured beside what the model says of it. */
export interface Check {
  readonly what: string;
  readonly measuredSeconds: number;
  readonly rollout: Rollout;
}

export function checkTable(figures: Figures, checks: readonly Check[]): string {
  const rows = checks.map(({ what, measuredSeconds, rollout }) => {
    const { seconds, limit } = predict(rollout, figures);
    return [
      what,
      duration(measuredSeconds),
      duration(seconds),
      limit,
      (measuredSeconds / seconds).toFixed(2),
    ];
  });
  return table(['measured', 'took', 'the model says', 'limited by', 'ratio'], rows);
}

export function figuresTable(figures: Figures): string {
  return table(
    ['what', 'measured'],
    [
      ['to send a GiB', `${figures.sendCpuSecondsPerGiB.toFixed(3)} s of a processor`],
      ['to send a GiB over TLS', secondsOf(figures.sendTlsCpuSecondsPerGiB)],
      ['to fetch, verify and store a GiB', `${figures.ingestCpuSecondsPerGiB.toFixed(2)} s`],
      ['a manifest from memory', `${(figures.requestCpuSeconds * 1e6).toFixed(0)} µs`],
      [
        'the first byte of a cold layer, later than straight from upstream',
        `${(figures.firstByteSeconds * 1e3).toFixed(0)} ms`,
      ],
    ],
  );
}

function secondsOf(seconds: number | undefined): string {
  return seconds === undefined ? 'not measured' : `${seconds.toFixed(3)} s`;
}

function nextOf({ shares }: Prediction): string {
  const [, second] = shares;
  return second ? `${second.resource}, ${duration(second.seconds)}` : '';
}

export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = seconds / 60;
  if (minutes < 100) return `${minutes.toFixed(minutes < 10 ? 1 : 0)} min`;
  return `${(minutes / 60).toFixed(1)} h`;
}

function bytes(count: number): string {
  const gib = count / GIB;
  return gib < 1024 ? `${Math.round(gib)} GiB` : `${(gib / 1024).toFixed(1)} TiB`;
}

function rate(bytesPerSecond: number): string {
  return `${((bytesPerSecond * 8) / 1e9).toFixed(1)} Gbit/s`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
