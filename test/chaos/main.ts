/** The chaos suite as a command: `npm run chaos -- --seed 7 --seconds 60`, or `--seeds 1..50`, or `--seeds 3,9`. */
import { parseArgs } from 'node:util';
import { run } from './support/run.ts';

const USAGE = 'npm run chaos -- [--seed N | --seeds N..M | --seeds N,M] [--seconds S] [--flips]';

function seedsIn(text: string): readonly number[] {
  const [, first, last] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const seeds =
    first === undefined
      ? text.split(',').map(Number)
      : Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  if (seeds.length === 0 || !seeds.every(Number.isSafeInteger))
    throw new Error(`no seeds: ${text}\n${USAGE}`);
  return seeds;
}

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    flips: { type: 'boolean', default: false },
  },
});
// A Ctrl-C ends the mirror too.
process.once('SIGINT', () => process.exit(130)).once('SIGTERM', () => process.exit(143));
const failed: string[] = [];
for (const seed of seedsIn(values.seeds ?? values.seed ?? String(Date.now() % 1_000_000))) {
  const report = await run({ seed, seconds: Number(values.seconds), flipsBits: values.flips });
  console.log(report.summary);
  if (report.findings.length === 0) continue;
  console.log(report.explanation);
  failed.push(report.seed);
}
if (failed.length > 0) console.log(`seeds with findings: ${failed.join(', ')}`);
process.exitCode = failed.length > 0 ? 1 : 0;
