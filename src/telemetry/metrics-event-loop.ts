/** By how much the event loop is late: what everything that is answered by it waits for, whoever is to blame. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

/** How often it is looked, which costs 0.2 % of a core. What blocks for less than that is seen now and then. */
const RESOLUTION_MS = 20;
/** For so long at least what was seen stays to be told: no scrape takes it from another, nor does a worker's keeper. */
const WINDOW_MS = 15_000;
const PERCENTILES = [50, 99, 100] as const;

/** Looks until it is disposed. */
export function monitorEventLoop(registry: Registry): Disposable {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const delaysNow = () => PERCENTILES.map((percentile) => secondsLate(delays, percentile));
  let windowBegan = performance.now();
  let before = PERCENTILES.map(() => 0);
  const gauge: Gauge = new Gauge({
    name: 'entrepot_event_loop_delay_seconds',
    help: 'By how much the event loop was late in the last quarter of a minute or more: half the time, at the 99th percentile, at most.',
    labelNames: ['percentile'],
    registers: [registry],
    // Of several processes, that of the one that was late the most.
    aggregator: 'max',
    collect: () => {
      const now = delaysNow();
      for (const [index, percentile] of PERCENTILES.entries())
        gauge.set({ percentile }, Math.max(now[index] ?? 0, before[index] ?? 0));
      if (performance.now() - windowBegan < WINDOW_MS) return;
      before = now;
      windowBegan = performance.now();
      delays.reset();
    },
  });
  return { [Symbol.dispose]: () => delays.disable() };
}

/** What is measured is from one look to the next; without any, it is about 0. */
function secondsLate(delays: ReturnType<typeof monitorEventLoopDelay>, percentile: number): number {
  if (delays.count === 0) return 0;
  return Math.max(0, delays.percentile(percentile) / 1e9 - RESOLUTION_MS / 1000);
}
