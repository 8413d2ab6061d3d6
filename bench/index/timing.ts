/** Times something done many times over, and for how long everybody else had to wait for it. */
import { setImmediate } from 'node:timers/promises';

export interface Timing {
  readonly operation: string;
  /** How often it was done, each time with other content. */
  readonly count: number;
  readonly wallSeconds: number;
  /** Of all threads. */
  readonly cpuSeconds: number;
  /** From the call to its end. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The longest time in which nobody else had a turn, of the clock and of this thread's processor time. */
  readonly blockedMs: number;
  readonly blockedCpuMs: number;
}

/** @param prepare makes what it is done with, untimed */
export async function timeOperation<T>(
  operation: string,
  count: number,
  prepare: () => T,
  work: (item: T) => Promise<unknown>,
): Promise<Timing> {
  const times: number[] = [];
  const longest = { blockedMs: 0, blockedCpuMs: 0 };
  let cpuSeconds = 0;
  for (let n = 0; n < count; n += 1) {
    const item = prepare();
    await setImmediate();
    const watch = new TurnWatch();
    const cpuBefore = process.cpuUsage();
    const begin = performance.now();
    await work(item);
    times.push(performance.now() - begin);
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuSeconds += (user + system) / 1e6;
    await watch.end();
    longest.blockedMs = Math.max(longest.blockedMs, watch.longestMs);
    longest.blockedCpuMs = Math.max(longest.blockedCpuMs, watch.longestCpuMs);
  }
  times.sort((a, b) => a - b);
  return {
    ...{ operation, count, cpuSeconds, wallSeconds: times.reduce((sum, ms) => sum + ms, 0) / 1000 },
    ...{ p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99), maxMs: times.at(-1) ?? 0 },
    ...longest,
  };
}

/** @returns NaN of nothing */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** Takes every turn that it can get. */
class TurnWatch {
  longestMs = 0;
  longestCpuMs = 0;
  readonly #watching: Promise<void>;
  #isOver = false;

  constructor() {
    this.#watching = this.#watch();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      const [begin, cpuBefore] = [performance.now(), process.threadCpuUsage()];
      await setImmediate();
      const { user, system } = process.threadCpuUsage(cpuBefore);
      this.longestMs = Math.max(this.longestMs, performance.now() - begin);
      this.longestCpuMs = Math.max(this.longestCpuMs, (user + system) / 1000);
    }
  }
}
