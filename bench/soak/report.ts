/** What a soak found: whether memory grows, as a line fitted to its second half, with the samples and a picture of them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { medianOf } from '../support/statistics.ts';
import { fitLine, type Line } from './line-fit.ts';
import type { Sample } from './mirror.ts';

const MIB = 2 ** 20;
const MILLION = 1e6;

/** What may not grow, and in which unit it is told. */
const SERIES = {
  rssBytes: { title: 'resident memory', unit: 'MiB', scale: MIB, colour: '#d9480f' },
  anonymousBytes: { title: 'of it anonymous', unit: 'MiB', scale: MIB, colour: '#f08c00' },
  heapUsed: { title: 'heap in use', unit: 'MiB', scale: MIB, colour: '#1c7ed6' },
  external: { title: 'outside the heap', unit: 'MiB', scale: MIB, colour: '#2f9e44' },
  openFiles: { title: 'open files', unit: '', scale: 1, colour: '#868e96' },
  resources: { title: 'active resources', unit: '', scale: 1, colour: '#495057' },
  indexBytes: { title: 'index', unit: 'MiB', scale: MIB, colour: '#9c36b5' },
  diskBytes: { title: 'disk', unit: 'MiB', scale: MIB, colour: '#0c8599' },
} as const;

type SeriesName = keyof typeof SERIES;
const NAMES = Object.keys(SERIES) as SeriesName[];

export interface Trend {
  readonly name: SeriesName;
  readonly title: string;
  readonly unit: string;
  /** Over the second half. */
  readonly median: number;
  readonly perMillionRequests: number;
  readonly perHour: number;
  /** By the line, from the middle to the end. */
  readonly growth: number;
}

/** Of the second half: in the first, caches fill. */
export function trendsOf(samples: readonly Sample[]): readonly Trend[] {
  const half = samples.slice(Math.floor(samples.length / 2));
  const [first, last] = [half.at(0), half.at(-1)];
  if (!first || !last) return [];
  return NAMES.flatMap((name) => {
    const { title, unit, scale } = SERIES[name];
    const fit = (x: 'requests' | 'seconds'): Line | undefined =>
      fitLine(half.map((sample) => ({ x: sample[x], y: sample[name] / scale })));
    const [byRequests, byTime] = [fit('requests'), fit('seconds')];
    const median = medianOf(half.map((sample) => sample[name] / scale));
    if (!byRequests || !byTime || median === undefined) return [];
    return [
      {
        ...{ name, title, unit, median },
        perMillionRequests: byRequests.slope * MILLION,
        perHour: byTime.slope * 3600,
        growth: byTime.slope * (last.seconds - first.seconds),
      },
    ];
  });
}

export function tableOf(trends: readonly Trend[]): string {
  const rows = trends.map(({ title, unit, median, perMillionRequests, perHour, growth }) => [
    unit === '' ? title : `${title}, ${unit}`,
    ...[median, perMillionRequests, perHour, growth].map((value) => value.toFixed(2)),
  ]);
  const table = [['second half', 'median', 'per million requests', 'per hour', 'by its end'], ...rows];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ');
  return table.map(line).join('\n');
}

export async function writeReport(
  directory: string,
  samples: readonly Sample[],
  facts: object,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  const columns = Object.keys(samples[0] ?? {}) as (keyof Sample)[];
  const lines = samples.map((sample) => columns.map((column) => sample[column]).join(','));
  await writeFile(join(directory, 'soak.csv'), `${[columns.join(','), ...lines].join('\n')}\n`);
  const summary = { ...facts, trends: trendsOf(samples) };
  await writeFile(join(directory, 'soak.json'), `${JSON.stringify(summary, null, 2)}\n`);
  await writeFile(join(directory, 'soak.svg'), drawing(samples));
}

const WIDTH = 760;
const LEFT = 60;
const RIGHT = 150;
const TOP = 40;
const PLOT_HEIGHT = 260;
const DRAWN = ['rssBytes', 'anonymousBytes', 'heapUsed', 'external'] as const;

function drawing(samples: readonly Sample[]): string {
  const longest = samples.at(-1)?.seconds ?? 1;
  const highest = Math.max(1, ...samples.map(({ rssBytes }) => rssBytes / MIB)) * 1.1;
  const x = (seconds: number) => (LEFT + (seconds / longest) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value: number) => (TOP + PLOT_HEIGHT * (1 - value / highest)).toFixed(1);
  const curves = DRAWN.map((name, index) => {
    const { colour, title, scale } = SERIES[name];
    const points = samples.map((sample) => `${x(sample.seconds)},${y(sample[name] / scale)}`).join(' ');
    return `<polyline fill="none" stroke="${colour}" stroke-width="1.2" points="${points}"/>
<text x="${WIDTH - RIGHT + 12}" y="${TOP + 14 + index * 18}" style="fill:${colour}">${title}</text>`;
  });
  const steps = [0, 0.25, 0.5, 0.75, 1].map((part) => part * highest);
  const grid = steps.map(
    (value) => `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}"/>
<text x="${LEFT - 8}" y="${Number(y(value)) + 4}" text-anchor="end">${value.toFixed(0)}</text>`,
  );
  const requests = ((samples.at(-1)?.requests ?? 0) / MILLION).toFixed(2);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${TOP + PLOT_HEIGHT + 40}" role="img">
<style>text { font: 12px system-ui, sans-serif; fill: #212529 } .grid { stroke: #dee2e6 }
@media (prefers-color-scheme: dark) { text { fill: #e9ecef } .grid { stroke: #495057 } }</style>
<text x="${LEFT}" y="20">Memory in MiB over ${(longest / 60).toFixed(0)} minutes and ${requests} million requests</text>
${[...grid, ...curves].join('\n')}
</svg>
`;
}
