/** A light, steady client: one small request at a time at an even pace, and how long each answer took. */
import { Agent, get, type IncomingMessage } from 'node:http';
import { setTimeout } from 'node:timers/promises';

/** A hundred requests a second cost next to nothing, and are enough for a 99th percentile of a few seconds. */
const PACE_MS = 10;

/** Distribution has no OCI manifest for whom does not ask for one. */
const ACCEPT = 'application/vnd.oci.image.manifest.v1+json';

export interface Latencies {
  readonly requests: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Asks for that URL until `work` is done. */
export async function probeDuring<T>(
  url: string,
  work: Promise<T>,
): Promise<Latencies & { readonly result: T }> {
  using agent = new Connection();
  const done = new AbortController();
  const ended = work.finally(() => done.abort());
  ended.catch(() => undefined);
  const times: number[] = [];
  let errors = 0;
  while (!done.signal.aborted || times.length === 0) {
    const begin = performance.now();
    if ((await statusOf(agent, url)) !== 200) errors += 1;
    const took = performance.now() - begin;
    times.push(took);
    await setTimeout(Math.max(0, PACE_MS - took));
  }
  const sorted = times.toSorted((a, b) => a - b);
  return {
    result: await ended,
    requests: times.length,
    errors,
    p50Ms: at(sorted, 0.5),
    p99Ms: at(sorted, 0.99),
  };
}

class Connection extends Agent implements Disposable {
  constructor() {
    super({ keepAlive: true, maxSockets: 1 });
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** @returns undefined where there was no whole answer */
async function statusOf(agent: Agent, url: string): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const finish = (response: IncomingMessage) => {
    response.on('close', () => resolve(response.complete ? response.statusCode : undefined)).resume();
  };
  get(url, { agent, headers: { Accept: ACCEPT } }, finish).on('error', () => resolve(undefined));
  return promise;
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
