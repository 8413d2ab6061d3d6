/** Loaded into the mirror of a soak before anything else: tells through a pipe once a second what V8 knows of its memory. */
import { write } from 'node:fs';

/** Where the soak listens. */
const PIPE = 3;
const INTERVAL_MS = 1000;

export interface Vitals {
  readonly heapUsed: number;
  readonly heapTotal: number;
  readonly external: number;
  readonly arrayBuffers: number;
  /** Timers, sockets, open requests and the like. */
  readonly resources: number;
}

function tell(): void {
  const { heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
  const resources = process.getActiveResourcesInfo().length;
  const vitals: Vitals = { heapUsed, heapTotal, external, arrayBuffers, resources };
  write(PIPE, `${JSON.stringify(vitals)}\n`, () => undefined);
}

setInterval(tell, INTERVAL_MS).unref();
