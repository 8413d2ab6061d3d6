/** By how much the event loop is late: what everything that is answered by it waits for, whoever is to blame. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

/** How often it is looked, which costs 0.2 % of a core. What blocks for less than that is seen now and then. */
const RESOLUTION_MS = 20;

/** Looks until it is disposed. */
export function monitorEventLoop(registry: Registry): Disposable {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const gauge: Gauge = new Gauge({
    name: 'entrepot_event_loop_delay_seconds',
    help: 'By how much the event loop was late since the last scrape: half the time, at the 99th percentile, at most.',
    labelNames: ['quantile'],
    registers: [registry],
    collect: () => {
      for (const [quantile, nanoseconds] of [
        [0.5, delays.percentile(50)],
        [0.99, delays.percentile(99)],
        [1, delays.max],
      ] as const) {
        // What is measured is from one look to the next; without any, it is about 0.
        gauge.set(
          { quantile },
          delays.count === 0 ? 0 : Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000),
        );
      }
      delays.reset();
    },
  });
  return { [Symbol.dispose]: () => delays.disable() };
}
