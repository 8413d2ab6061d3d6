/** How a prefetch looks while it runs: a line for each blob as docker has it, or milestones where lines can't be redrawn. */
import type { JobView, PrefetchBlobView, PrefetchView } from '../admin/views.ts';
import { formatSize } from '../lib/units.ts';
import { formatBar, formatCount, formatRate, formatSpan, printable, shortDigest } from './format.ts';

const BAR_WIDTH = 30;
/** What is younger than that says how fast it is now. */
const RATE_WINDOW_MS = 5000;

const STATES: Readonly<Record<PrefetchBlobView['state'], string>> = {
  waiting: 'Waiting',
  running: 'Downloading',
  done: 'Download complete',
  present: 'Already exists',
  uncached: 'No room to keep it',
  failed: 'Failed',
};

export interface PullTotals {
  readonly blobs: number;
  readonly settled: number;
  /** Fetched by this job, and to be fetched as far as it is known. */
  readonly fetchedBytes: number;
  readonly wantedBytes: number;
  readonly presentBytes: number;
}

/** A blob that several references want counts once. */
export function totalsOf(job: JobView): PullTotals {
  const blobs = new Map(
    (job.prefetch ?? []).flatMap(({ blobs }) => blobs.map((blob) => [blob.digest, blob])),
  );
  const all = [...blobs.values()];
  const fetched = all.filter(({ state }) => state !== 'present');
  const sum = (list: readonly number[]) => list.reduce((total, bytes) => total + bytes, 0);
  return {
    blobs: all.length,
    settled: all.filter(({ state }) => state !== 'waiting' && state !== 'running').length,
    fetchedBytes: sum(fetched.map(({ bytes }) => bytes)),
    wantedBytes: sum(fetched.map(({ size }) => size)),
    presentBytes: sum(all.filter(({ state }) => state === 'present').map(({ size }) => size)),
  };
}

export class PullProgress {
  readonly #now: () => number;
  readonly #startedAt: number;
  #samples: { readonly at: number; readonly bytes: number }[] = [];
  readonly #told = new Set<string>();

  constructor(now: () => number) {
    this.#now = now;
    this.#startedAt = now();
  }

  /**
   * All of it as it is now, to be drawn over what was drawn before.
   * @param room how many lines there may be before it is only of what moves
   */
  lines(job: JobView, room = Infinity): readonly string[] {
    const references = job.prefetch ?? [];
    const { blobs, settled, fetchedBytes, wantedBytes } = totalsOf(job);
    const isLong = references.length + references.flatMap((one) => one.blobs).length >= room;
    return [
      ...references.flatMap((reference) => {
        const shown = reference.blobs.filter(({ state }) => !isLong || state === 'running');
        return [headOf(reference), ...shown.map(lineOf)];
      }),
      `Total: ${settled} of ${formatCount(blobs, 'blob')}, ` +
        `${formatSize(fetchedBytes)} of ${formatSize(wantedBytes)}, ${formatRate(this.#rate(fetchedBytes))}`,
    ];
  }

  /** What has been reached since the last time. */
  milestones(job: JobView): readonly string[] {
    const reached = (job.prefetch ?? []).flatMap((reference) => [
      ...(reference.state === 'waiting' ? [] : [`${printable(reference.reference)}: pulling`]),
      ...reference.blobs
        .filter(({ state }) => state !== 'waiting' && state !== 'running')
        .map((blob) => `${printable(reference.reference)}: ${lineOf(blob).trimStart()}`),
      ...(reference.state === 'done' || reference.state === 'failed' ? [headOf(reference)] : []),
    ]);
    const news = reached.filter((line) => !this.#told.has(line));
    for (const line of news) this.#told.add(line);
    return news;
  }

  summary(job: JobView): string {
    const { blobs, fetchedBytes, presentBytes } = totalsOf(job);
    const references = job.prefetch ?? [];
    const ms = Math.max(1, this.#now() - this.#startedAt);
    const uncached = references
      .flatMap((one) => one.blobs)
      .filter(({ state }) => state === 'uncached').length;
    return [
      `${formatCount(references.length, 'reference')}, ${formatCount(blobs, 'blob')}: ` +
        `${formatSize(fetchedBytes)} fetched in ${formatSpan(ms)} (${formatRate((fetchedBytes * 1000) / ms)})`,
      ...(presentBytes > 0 ? [`${formatSize(presentBytes)} were here before`] : []),
      ...(uncached > 0 ? [`no room to keep ${formatCount(uncached, 'blob')}`] : []),
    ].join(', ');
  }

  #rate(bytes: number): number {
    const at = this.#now();
    this.#samples.push({ at, bytes });
    // One that is older stays, so that there is always a span to measure.
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) >= RATE_WINDOW_MS)
      this.#samples.shift();
    const [first] = this.#samples;
    const ms = at - (first?.at ?? at);
    return ms > 0 ? Math.max(0, ((bytes - (first?.bytes ?? 0)) * 1000) / ms) : 0;
  }
}

function headOf({ reference, state, digest, error }: PrefetchView): string {
  const name = printable(reference);
  if (state === 'failed') return `${name}: Failed: ${printable(error ?? 'no reason was given')}`;
  if (state === 'done') return `${name}: Done${digest === undefined ? '' : `, ${printable(digest)}`}`;
  return `${name}: ${state === 'running' ? 'Pulling' : 'Waiting'}`;
}

function lineOf({ digest, platform, size, bytes, state }: PrefetchBlobView): string {
  const head = `  ${shortDigest(digest)}${platform === undefined ? '' : ` ${printable(platform)}`}: ${STATES[state]}`;
  return state === 'running'
    ? `${head} ${formatBar(bytes, size, BAR_WIDTH)} ${formatSize(bytes)}/${formatSize(size)}`
    : `${head} ${formatSize(size)}`;
}
