/** A run of the benchmark as files: a page, its charts, and every sample as JSON. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import type { Sample } from '../support/scenario.ts';
import { renderChart } from './chart.ts';
import type { Machine } from './machine.ts';
import type { Summary } from './summary.ts';
import { markdownTable } from './table.ts';

export interface Run {
  /** ISO 8601, without the time. */
  readonly date: string;
  /** As it was called. */
  readonly command: string;
  readonly rounds: number;
  readonly machine: Machine;
  /** By the name of the peer. */
  readonly versions: Readonly<Record<string, string>>;
  readonly summaries: readonly Summary[];
  readonly samples: readonly Sample[];
}

const EXPLANATION = `Peers take turns, A B C A B C, and each figure is the median of the rounds with the least and the most in brackets.
\`×\` is the median of the ratios round by round, to the peer that heads the column. Server and clients share the machine's
cores, so the rates are those of the pair; what a server costs is its **CPU**: user and system time of all its
processes. Peak memory is the sum of their high-water marks, so that pages which they share count for each. The clients
are [a C program](../bench/load/client.ts) that lets the kernel drop bodies, as if they had gone to another machine.
All run with their access log on.`;

/** Writes `benchmarks.md` and, in `benchmarks/`, what it shows. What an earlier run left there goes. */
export async function writeReport(directory: string, run: Run): Promise<void> {
  const beside = join(directory, 'benchmarks');
  await rm(beside, { recursive: true, force: true });
  await mkdir(beside, { recursive: true });
  for (const summary of run.summaries) {
    const chart = renderChart(summary);
    if (chart !== undefined) await writeFile(join(beside, `${summary.name}.svg`), chart);
  }
  await writeFormatted(join(beside, 'results.json'), JSON.stringify(run));
  await writeFormatted(join(directory, 'benchmarks.md'), renderPage(run));
}

export function headOf({ date, command, machine, versions }: Omit<Run, 'summaries' | 'samples'>): string {
  const { processor, cores, memoryGiB, kernel, system } = machine;
  return [
    `- **When**: ${date}, \`${command}\``,
    `- **Machine**: ${processor}, ${cores} cores, ${memoryGiB} GiB of memory; ${kernel}, ${system}`,
    ...Object.entries(versions).map(([peer, version]) => `- **${peer}**: ${version}`),
  ].join('\n');
}

export function renderPage(run: Run): string {
  const sections = run.summaries.map((summary) =>
    [
      `## ${summary.title}`,
      ...(renderChart(summary) === undefined ? [] : [`![${summary.title}](benchmarks/${summary.name}.svg)`]),
      markdownTable(summary),
    ].join('\n\n'),
  );
  const notice = '<!-- Written by `npm run bench -- --out docs`: run that instead of changing this. -->';
  return ['# Benchmarks', notice, headOf(run), EXPLANATION, ...sections].join('\n\n');
}

async function writeFormatted(path: string, text: string): Promise<void> {
  const options = await resolveConfig(path);
  await writeFile(path, await format(text, { ...options, filepath: path }));
}
