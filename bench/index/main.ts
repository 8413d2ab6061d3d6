/**
 * The command `node bench/index/main.ts --blobs N`: makes a cache of so many blobs, or takes one that was made before,
 * and prints what its index does in what time, and for how long that blocks everything else.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { freshDirectory } from '../support/workspace.ts';
import { generate } from './generate.ts';
import { measureIndex, type IndexScale } from './index-scale.ts';

const HELP = `Usage: node bench/index/main.ts [options]

  --blobs N        how many the cache has (default 1000000)
  --directory DIR  where it is, or is made and kept; otherwise it goes when the command ends
  --files          with files for the blobs, of holes; only where it is made
  --records        with the index's records; only where it is made
  --only-make      make it, measure nothing
  --rounds N       how often each operation is done (default 500)
`;

const { values } = parseArgs({
  options: {
    blobs: { type: 'string', default: '1000000' },
    directory: { type: 'string' },
    files: { type: 'boolean', default: false },
    records: { type: 'boolean', default: false },
    'only-make': { type: 'boolean', default: false },
    rounds: { type: 'string', default: '500' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const say = (text: string) => void process.stdout.write(`${text}\n`);

if (values.help) say(HELP);
else await main();

async function main(): Promise<void> {
  const blobs = Number(values.blobs);
  const directory =
    values.directory === undefined ? await freshDirectory('index') : resolve(values.directory);
  await mkdir(directory, { recursive: true });
  const data = join(directory, 'data');
  if (!existsSync(join(data, 'index.sqlite'))) {
    const begin = performance.now();
    const onProgress = (done: number, all: number) =>
      void process.stderr.write(`\rmaking the cache: ${done} of ${all} releases`);
    await generate({
      ...{ directory: data, blobs, hasFiles: values.files, hasRecords: values.records, onProgress },
    });
    process.stderr.write('\n');
    say(`made in ${((performance.now() - begin) / 1000).toFixed(0)} s`);
  }
  if (!values['only-make']) say(tableOf(await measureIndex(directory, blobs, Number(values.rounds))));
}

function tableOf({ blobs, fileBytes, timings, rssBytes, starts }: IndexScale): string {
  const columns = ['p50 ms', 'p99 ms', 'max ms', 'blocked', 'its CPU', 'CPU us'];
  const row = (name: string, ...cells: readonly (string | number)[]) =>
    [
      name.padEnd(34),
      ...cells.map((cell) => (typeof cell === 'number' ? cell.toFixed(2) : cell).padStart(9)),
    ].join(' ');
  const { afterEnd, afterKill } = starts;
  return [
    `${blobs} blobs: an index of ${mib(fileBytes)} MiB; ${mib(rssBytes)} MiB of memory after all of this`,
    row('', ...columns),
    ...timings.map((timing) => {
      const { operation, count, cpuSeconds, p50Ms, p99Ms, maxMs, blockedMs, blockedCpuMs } = timing;
      return row(operation, p50Ms, p99Ms, maxMs, blockedMs, blockedCpuMs, (cpuSeconds / count) * 1e6);
    }),
    ...[
      { name: 'start', start: afterEnd },
      { name: 'start after a kill', start: afterKill },
    ].map(({ name, start }) => {
      const { wallSeconds, cpuSeconds, p50Ms, p99Ms, maxMs, rssBytes: bytes } = start;
      const times = `${wallSeconds.toFixed(2)} s, ${cpuSeconds.toFixed(2)} s of CPU, ${mib(bytes)} MiB`;
      return `${name}: ${times}; requests then p50 ${p50Ms.toFixed(1)}, p99 ${p99Ms.toFixed(1)}, max ${maxMs.toFixed(1)} ms`;
    }),
  ].join('\n');
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
