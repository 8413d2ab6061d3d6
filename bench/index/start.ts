/** How long the mirror takes to answer on a cache that is there, after an end in order and after none. */
import { setTimeout } from 'node:timers/promises';
import { entrepot } from '../peers/entrepot.ts';
import { cpuSeconds, peakRssBytes } from '../support/process-usage.ts';
import type { Running } from '../support/scenario.ts';
import { quantile } from './timing.ts';

export interface Start {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** The most that its processes had until it answered. */
  readonly rssBytes: number;
  /** What requests took for the next seconds: after no end in order, the whole index is looked through meanwhile. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Nobody is asked. */
const UPSTREAM_URL = 'http://127.0.0.1:9';
const PROBE_MS = 3000;
const PROBE_PAUSE_MS = 5;
/** The sizes in the index are those of a disk that is far larger: nothing is to be evicted for that. */
const MIRROR = entrepot('entrepot', { ENTREPOT_CACHE_MAX_SIZE: '1PiB' });

/** @param end how this process is to end */
export async function measureStart(directory: string, end: 'in order' | 'killed'): Promise<Start> {
  const begin = performance.now();
  await using running = await MIRROR.start({ directory, upstreamUrl: UPSTREAM_URL });
  const wallSeconds = (performance.now() - begin) / 1000;
  const pids = running.pids();
  const usage = { cpuSeconds: cpuSeconds(pids), rssBytes: peakRssBytes(pids) };
  const times = await probe(running);
  if (end === 'killed') for (const pid of running.pids()) process.kill(pid, 'SIGKILL');
  return {
    ...{ wallSeconds, ...usage },
    ...{ p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), maxMs: times.at(-1) ?? NaN },
  };
}

async function probe({ url }: Running): Promise<readonly number[]> {
  const times: number[] = [];
  for (const until = performance.now() + PROBE_MS; performance.now() < until;) {
    const begin = performance.now();
    const response = await fetch(`${url}/v2/`);
    await response.arrayBuffer();
    times.push(performance.now() - begin);
    await setTimeout(PROBE_PAUSE_MS);
  }
  return times.sort((a, b) => a - b);
}
