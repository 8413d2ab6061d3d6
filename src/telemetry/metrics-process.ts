/** What Node.js tells of its process, under the names that prom-client gives it. */
import { collectDefaultMetrics, Registry } from 'prom-client';

/**
 * Not wanted: the event loop has a gauge of its own (metrics-event-loop.ts); of what is active, gauges are named as
 * counters, which `promtool check metrics` refuses, and labels come from whatever Node.js calls its parts.
 */
const UNWANTED = /^nodejs_(eventloop_lag|active)_/;
/** For what is not wanted it would look at the event loop 100 times a second. */
const NEVER_MS = 2 ** 31 - 1;

let ofProcess: Registry | undefined;

/** There is one process, however many have metrics in it: its garbage collector gets one observer, for good. */
export function addProcessMetrics(registry: Registry): void {
  if (!ofProcess) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess, eventLoopMonitoringPrecision: NEVER_MS });
  }
  for (const { name } of ofProcess.getMetricsAsArray()) {
    const metric = ofProcess.getSingleMetric(name);
    if (metric && !UNWANTED.test(name)) registry.registerMetric(metric);
  }
}
