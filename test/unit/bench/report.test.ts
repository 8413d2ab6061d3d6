/** From samples to tables, charts and a page. */
import { expect, test } from 'vitest';
import { renderChart } from '../../../bench/report/chart.ts';
import { renderPage } from '../../../bench/report/report.ts';
import { summarize } from '../../../bench/report/summary.ts';
import { cellsOf, formatNumber, markdownTable, screenTable } from '../../../bench/report/table.ts';
import type { MeasureName, Sample, Scenario } from '../../../bench/support/scenario.ts';

const GIB = 2 ** 30;

function scenario(measures?: readonly MeasureName[]): Scenario {
  return {
    ...{ name: 'layers', title: 'Layers & <more>', ...(measures ? { measures } : {}) },
    run: () => Promise.resolve(),
  };
}

function sample(values: Partial<Sample>): Sample {
  return {
    ...{ scenario: 'layers', case: '1 reader', peer: 'entrepot', wallSeconds: 1, cpuSeconds: 0.5, errors: 0 },
    ...values,
  };
}

const samples: readonly Sample[] = [
  sample({ bytes: 2 * GIB }),
  sample({ peer: 'distribution', bytes: GIB }),
  sample({ peer: 'nginx', bytes: 4 * GIB }),
  sample({ bytes: 3 * GIB }),
  sample({ peer: 'distribution', bytes: GIB }),
  sample({ peer: 'nginx', bytes: 4 * GIB, errors: 2 }),
  sample({ case: '4 readers', bytes: GIB }),
];

test('a table has a row for each case and peer, in the order measured', () => {
  const rows = cellsOf(summarize(scenario(['throughput']), samples));
  expect(rows).toEqual([
    ['case', 'peer', 'throughput GiB/s', ': distribution', ': nginx', 'errors'],
    ['1 reader', 'entrepot', '2.50 [2.00-3.00]', '×2.50', '×0.625', '0'],
    ['1 reader', 'distribution', '1.00', '', '×0.250', '0'],
    ['1 reader', 'nginx', '4.00', '×4.00', '', '2'],
    ['4 readers', 'entrepot', '1.00', '', '', '0'],
  ]);
});

test('what is not compared has no ratios, and what a sample lacks is left empty', () => {
  const rows = cellsOf(
    summarize(scenario(['p99', 'peakRss']), [
      sample({ p99Ms: 12.345 }),
      sample({ peer: 'nginx', peakRssBytes: 3 * 2 ** 20 }),
    ]),
  );
  expect(rows).toEqual([
    ['case', 'peer', 'p99 ms', 'peak memory MiB', 'errors'],
    ['1 reader', 'entrepot', '12.3', '', '0'],
    ['1 reader', 'nginx', '', '3.00', '0'],
  ]);
});

test('a scenario that names no measures shows what its samples have', () => {
  const layers = sample({ bytes: GIB, requests: 1, upstreamBytes: 0 });
  expect(summarize(scenario(), [layers]).measures).toEqual([
    ...['throughput', 'wall', 'cpuPerGiB', 'upstreamBytes'],
  ]);
  const requests = sample({ requests: 100, p50Ms: 1 });
  expect(summarize(scenario(), [requests]).measures).toEqual([
    ...['requestRate', 'wall', 'p50', 'cpu', 'cpuPerRequest'],
  ]);
});

test('costs are those of a GiB and of a request', () => {
  const [, row] = cellsOf(
    summarize(scenario(['cpuPerGiB', 'cpuPerRequest']), [
      sample({ cpuSeconds: 0.5, bytes: 2 * GIB, requests: 1000 }),
    ]),
  );
  expect(row).toEqual(['1 reader', 'entrepot', '0.250', '500', '0']);
});

test('numbers have three digits that count', () => {
  const texts = [0, 0.00123, 0.0456, 0.5, 1.234, 56.78, 999.6, 22384.2].map(formatNumber);
  expect(texts).toEqual(['0', '0.0012', '0.0456', '0.500', '1.23', '56.8', '1 000', '22 384']);
});

test('on a screen columns are aligned, with a blank line between cases', () => {
  const text = screenTable(summarize(scenario(['throughput']), samples));
  const [headings = '', , row = ''] = text.split('\n');
  expect(row.indexOf('entrepot')).toBe(headings.indexOf('peer'));
  expect(text).toMatch(/2\n\n4 readers {2}entrepot/);
});

test('Markdown has as many cells in each line', () => {
  const lines = markdownTable(summarize(scenario(['throughput']), samples)).split('\n');
  expect(lines).toHaveLength(6);
  expect(new Set(lines.map((line) => line.split('|').length))).toEqual(new Set([8]));
});

test('a chart has a bar for each row, whiskers where there is a spread, and escaped text', () => {
  const chart = renderChart(summarize(scenario(['throughput', 'cpu']), samples)) ?? '';
  const rectangles = chart.match(/<rect/g) ?? [];
  // Four bars, and three in the legend.
  expect(rectangles).toHaveLength(7);
  expect(chart.match(/class="whisker"/g)).toHaveLength(1);
  expect(chart).toContain('>Layers &amp; &lt;more&gt;<');
  expect(chart).toContain('throughput, GiB/s (more is better)');
  expect(chart).toContain('prefers-color-scheme: dark');
});

test.each([
  ['short', '1 reader'],
  ['long', 'a case with a name that takes half of the drawing or even more'],
])('bars with %s names end within the drawing, the longer value with the longer bar', (_what, name) => {
  const named = samples.map((each) => ({ ...each, case: name }));
  const chart = renderChart(summarize(scenario(['throughput']), named)) ?? '';
  const width = Number(/viewBox="0 0 (\d+)/.exec(chart)?.[1]);
  const bars = [...chart.matchAll(/<rect x="(\d+)" y="\d+" width="([\d.]+)" height="14"/g)];
  const ends = bars.map(([, x, length]) => Number(x) + Number(length));
  const [entrepot = 0, distribution = 0, nginx = 0] = ends;
  expect(ends).toHaveLength(3);
  expect(nginx).toBeLessThan(width);
  expect(nginx).toBeGreaterThan(entrepot);
  expect(entrepot).toBeGreaterThan(distribution);
});

test('what nothing has is not drawn', () => {
  expect(renderChart(summarize(scenario(['p99']), samples))).toBeUndefined();
  expect(renderChart(summarize(scenario([]), samples))).toBeUndefined();
});

test('a page has the machine, the versions, and a section with its chart and table', () => {
  const summaries = [summarize(scenario(['throughput']), samples)];
  const page = renderPage({
    ...{ date: '2030-01-02', command: 'npm run bench', rounds: 2, samples, summaries },
    machine: { processor: 'Z80', cores: 1, memoryGiB: 4, kernel: 'Linux 6', system: 'Debian' },
    versions: { nginx: '1.22.1' },
  });
  expect(page).toContain('Z80, 1 cores, 4 GiB');
  expect(page).toContain('**nginx**: 1.22.1');
  expect(page).toContain('![Layers & <more>](benchmarks/layers.svg)');
  expect(page).toContain('| 1 reader | nginx | 4.00 |');
});
