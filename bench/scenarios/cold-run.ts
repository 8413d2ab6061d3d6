/** What the cold scenarios share: a run on an empty cache, from the start of the server until it has stored everything. */
import { setTimeout } from 'node:timers/promises';
import { pull, type Puller } from '../load/client.ts';
import { cpuSeconds, measure } from '../support/process-usage.ts';
import type { Peer, Running, Sample } from '../support/scenario.ts';
import { freshDirectory, removeDirectory } from '../support/workspace.ts';
import type { UpstreamRegistry } from '../upstream/registry.ts';
import { greet, type Site } from './cold-site.ts';

const SETTLE_PATIENCE_MS = 300_000;

export interface ColdCase {
  readonly scenario: string;
  readonly case: string;
  readonly site: Site;
  /** The upstream itself, or the line to it. */
  readonly upstreamUrl: string;
  readonly isShort: boolean;
}

/** A peer that has never seen what `use` will pull; it goes with its directory. */
export async function withEmptyCache<T>(
  peer: Peer,
  run: Pick<ColdCase, 'site' | 'upstreamUrl' | 'isShort'>,
  use: (running: Running) => Promise<T>,
): Promise<T> {
  const directory = await freshDirectory(peer.name);
  try {
    await using running = await peer.start({ upstreamUrl: run.upstreamUrl, directory });
    await greet(running);
    await untilAtRest(running, run);
    await run.site.upstream.traffic();
    return await use(running);
  } finally {
    await removeDirectory(directory);
  }
}

/** All of it: an empty cache, the pull, and what it took. */
export function coldPull(peer: Peer, run: ColdCase, pullers: readonly Puller[]): Promise<Sample> {
  return withEmptyCache(peer, run, async (running) => ({
    ...(await measuredPull(running, run, pullers)),
    peer: peer.name,
  }));
}

/**
 * Processor time is counted, like what upstream was asked for, until the server rests: what it does after the clients
 * have all they wanted is part of the price. The wall time is the clients'.
 */
export async function measuredPull(
  running: Running,
  run: ColdCase,
  pullers: readonly Puller[],
): Promise<Omit<Sample, 'peer'>> {
  const usage = await measure(running, async () => {
    const pulled = await pull({ url: running.url, pullers });
    await untilAtRest(running, run);
    return pulled;
  });
  const { result, cpuSeconds, peakRssBytes } = usage;
  const traffic = await run.site.upstream.traffic();
  return {
    ...{ scenario: run.scenario, case: run.case, cpuSeconds, peakRssBytes },
    ...{
      wallSeconds: result.wallSeconds,
      bytes: result.bytes,
      requests: result.requests,
      errors: result.errors,
    },
    ...(result.firstError === undefined ? {} : { firstError: result.firstError }),
    ...(result.firstByteMs ? { firstByteMs: result.firstByteMs } : {}),
    ...{ upstreamRequests: traffic.requests, upstreamBytes: traffic.bytes },
  };
}

/** Straight to the upstream, over the line where there is one: what a mirror is held against. */
export function directTo(upstream: UpstreamRegistry): Peer {
  return {
    name: 'direct',
    version: '',
    start: ({ upstreamUrl }) =>
      Promise.resolve({
        url: upstreamUrl,
        pids: () => upstream.pids(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  };
}

/** No processor time was used for so long: a download over the line uses some in each such time. */
export async function untilAtRest(running: Running, { isShort }: Pick<ColdCase, 'isShort'>): Promise<void> {
  const windowMs = isShort ? 200 : 1000;
  const deadline = performance.now() + SETTLE_PATIENCE_MS;
  for (;;) {
    const before = cpuSeconds(running.pids());
    await setTimeout(windowMs);
    // Clocks of a server's own tick at rest, too.
    if (cpuSeconds(running.pids()) - before <= 0.01) return;
    if (performance.now() > deadline) throw new Error(`${running.url} does not come to rest`);
  }
}
