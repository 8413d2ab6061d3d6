/**
 * What was asked and served, as it adds up over time. The counters know it since the start; a sample, taken now and then,
 * adds what has come since the last one to what is kept across restarts.
 */
import type { Job } from '../jobs/job-runner.ts';
import type { TrafficCounts, TrafficHistory, TrafficSpan } from '../metadata/catalog-store.ts';

export interface TrafficOptions {
  /** Since the start, here and in other processes. */
  readonly count: () => Promise<TrafficCounts>;
  readonly history: TrafficHistory;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly startedAt: number;
  /** A sample could not be kept; the next one has what was in it. */
  readonly onError: (error: Error) => void;
}

export interface Steps {
  readonly stepMs: number;
  readonly spans: readonly TrafficSpan[];
}

const SPAN_MS = 60_000;
/** Of the history that is kept; the totals are of all time. */
const KEPT_MS = 31 * 24 * 60 * 60 * 1000;
/** As many as anybody draws. */
const MAX_STEPS = 2000;
const NOTHING: TrafficCounts = { requests: 0, hits: 0, servedBytes: 0, hitBytes: 0, fetchedBytes: 0 };

/** To be run every few seconds, and once more when nothing is served any longer. */
export class Traffic implements Job {
  readonly name = 'traffic';
  readonly #options: TrafficOptions;
  /** What is in the history already, of that since the start. */
  #sampled = NOTHING;
  /** One after the other: what is on its way from the counters into the history must be seen in one of them. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** Takes a sample. Never rejects because of the index. */
  async run(): Promise<void> {
    await this.#inTurn(async () => {
      const { history, count, onError } = this.#options;
      const counts = highest(await count(), this.#sampled);
      const since = difference(counts, this.#sampled);
      if (isNothing(since)) return;
      try {
        await history.add(this.#spanAt(), since);
        this.#sampled = counts;
      } catch (error) {
        onError(error as Error);
      }
    });
  }

  async sinceStart(): Promise<TrafficSpan> {
    return { beganAt: this.#options.startedAt, ...(await this.#options.count()) };
  }

  /** Since the first start whose history is kept. Only since this one, where the index can't be read. */
  recorded(): Promise<TrafficSpan> {
    return this.#inTurn(async () => {
      const { history, startedAt, onError } = this.#options;
      const unsampled = await this.#unsampled();
      try {
        const { beganAt, ...kept } = (await history.totals()) ?? { beganAt: startedAt, ...NOTHING };
        return { beganAt, ...sum(kept, unsampled) };
      } catch (error) {
        onError(error as Error);
        return this.sinceStart();
      }
    });
  }

  /** In steps of about that length at least, and not more of them than anybody draws; those with nothing are left out. */
  async history(from: number, stepSeconds: number): Promise<Steps> {
    const now = this.#options.now();
    const earliest = Math.min(now, Math.max(from, now - KEPT_MS));
    const atLeastMs = Math.max(stepSeconds * 1000, (now - earliest) / MAX_STEPS, SPAN_MS);
    const stepMs = Math.ceil(atLeastMs / SPAN_MS) * SPAN_MS;
    const spans = await this.#inTurn(async () => {
      const unsampled = await this.#unsampled();
      const kept = await this.#options.history.list(floor(earliest, stepMs));
      return isNothing(unsampled) ? kept : [...kept, { beganAt: this.#spanAt(), ...unsampled }];
    });
    const steps = new Map<number, TrafficSpan>();
    for (const { beganAt, ...counts } of spans) {
      const at = floor(beganAt, stepMs);
      steps.set(at, { beganAt: at, ...sum(counts, steps.get(at) ?? NOTHING) });
    }
    return { stepMs, spans: [...steps.values()].sort((a, b) => a.beganAt - b.beganAt) };
  }

  /** Lets go of what is too old. */
  async forget(): Promise<void> {
    await this.#options.history.forget(this.#options.now() - KEPT_MS).catch(this.#options.onError);
  }

  async #unsampled(): Promise<TrafficCounts> {
    return difference(highest(await this.#options.count(), this.#sampled), this.#sampled);
  }

  #spanAt(): number {
    return floor(this.#options.now(), SPAN_MS);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function floor(at: number, stepMs: number): number {
  return Math.floor(at / stepMs) * stepMs;
}

function eachOf(
  a: TrafficCounts,
  b: TrafficCounts,
  combine: (a: number, b: number) => number,
): TrafficCounts {
  return {
    requests: combine(a.requests, b.requests),
    hits: combine(a.hits, b.hits),
    servedBytes: combine(a.servedBytes, b.servedBytes),
    hitBytes: combine(a.hitBytes, b.hitBytes),
    fetchedBytes: combine(a.fetchedBytes, b.fetchedBytes),
  };
}

const sum = (a: TrafficCounts, b: TrafficCounts) => eachOf(a, b, (x, y) => x + y);
const difference = (a: TrafficCounts, b: TrafficCounts) => eachOf(a, b, (x, y) => x - y);
/** What a worker counted may be missing for a moment after its end: it comes back, and is not to count twice. */
const highest = (a: TrafficCounts, b: TrafficCounts) => eachOf(a, b, Math.max);
const isNothing = (counts: TrafficCounts) => Object.values(counts).every((count) => count === 0);
