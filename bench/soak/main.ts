/**
 * The command `npm run soak -- --minutes M`: days of a mirror's life in minutes. A little cache, an upstream that changes
 * and fails, clients who never stop; every body is held against its digest, and memory may not grow.
 */
import { resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Random } from '../../test/support/random.ts';
import { freshDirectory } from '../support/workspace.ts';
import { Catalogue } from './catalogue.ts';
import { beClients, type Tally } from './clients.ts';
import { SoakMirror, type Sample } from './mirror.ts';
import { tableOf, trendsOf, writeReport } from './report.ts';
import { SoakUpstream } from './upstream.ts';

const CLIENTS = 24;
const REPOSITORIES = 100;
const SAMPLE_MS = 1000;
const TELL_EVERY = 60;
const CHANGE_MS = 100;
/** A short run says little about a slope; this much says that something is wrong. */
const ABSURD_GROWTH_MIB = 150;

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: 'bench/results' },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0)) throw new Error(`--minutes takes a number, not "${values.minutes}"`);

const catalogue = new Catalogue(new Random(`${values.seed}/catalogue`), REPOSITORIES);
await using upstream = await SoakUpstream.start(catalogue, new Random(`${values.seed}/upstream`));
await using mirror = await SoakMirror.start(upstream.url, await freshDirectory('soak'));
const tally: Tally = { requests: 0, outcomes: new Map(), wrong: [] };
const samples: Sample[] = [];
let end: string | undefined;
void mirror.ended.then((how) => (end = how));

const begin = performance.now();
const elapsed = () => (performance.now() - begin) / 1000;
const isOver = () => elapsed() > minutes * 60 || end !== undefined || tally.wrong.length > 0;

async function look(): Promise<void> {
  while (!isOver()) {
    await setTimeout(SAMPLE_MS);
    if (end !== undefined) return;
    const sample = await mirror.sample(elapsed(), tally.requests);
    samples.push(sample);
    if (samples.length % TELL_EVERY === 0) console.log(describe(sample));
  }
}

function describe({ seconds, requests, rssBytes, heapUsed }: Sample): string {
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  return `${(seconds / 60).toFixed(0)} min: ${requests} requests, resident ${mib(rssBytes)}, heap ${mib(heapUsed)}`;
}

async function change(): Promise<void> {
  while (!isOver()) {
    await setTimeout(CHANGE_MS);
    catalogue.change();
  }
}

const clients = Array.from({ length: CLIENTS }, (_, index) =>
  beClients(mirror.url, `${values.seed}/client-${index}`, catalogue, tally, isOver),
);
await Promise.all([look(), change(), ...clients]);

const outcomes = Object.fromEntries([...tally.outcomes].sort(([, a], [, b]) => b - a));
const facts = {
  ...{ minutes: elapsed() / 60, requests: tally.requests, upstreamRequests: upstream.requests },
  ...{ seen: catalogue.seen, outcomes, wrong: tally.wrong },
};
await writeReport(resolve(values.out), samples, facts);
console.log(JSON.stringify(facts));
const trends = trendsOf(samples);
console.log(tableOf(trends));
const growth = trends.find(({ name }) => name === 'rssBytes')?.growth ?? 0;
const failures = [
  ...tally.wrong,
  ...(end === undefined ? [] : [`the mirror ended by itself: ${end}`]),
  ...(growth > ABSURD_GROWTH_MIB ? [`memory grew by ${growth.toFixed(0)} MiB in the second half`] : []),
];
for (const failure of failures) console.error(`soak: ${failure}`);
process.exitCode = failures.length > 0 ? 1 : 0;
