/** What doctor reads from what the running mirror says of itself. */
import type { StateView, UpstreamView } from '../admin/views.ts';
import { formatSize } from '../lib/units.ts';
import { isSqueezed, type Finding } from './finding.ts';
import { formatCount } from './format.ts';
import { quotaFinding } from './quota.ts';

/** @param askedHere the names of those that are asked for their quota by doctor itself */
export function* examineState(
  state: StateView,
  url: string,
  askedHere: readonly string[],
): Iterable<Finding> {
  const { health, scrub, upstreams } = state;
  const isReady = health.status !== 'not ready';
  yield {
    check: 'mirror',
    result: isReady ? 'ok' : 'failed',
    found: `${state.version} at ${url}, ${isReady ? 'ready' : 'not ready'}`,
  };
  for (const fault of health.faults) yield { check: 'mirror', result: 'failed', found: fault };
  for (const warning of health.warnings) yield { check: 'mirror', result: 'warning', found: warning };
  if (scrub.corruptBlobs > 0) {
    yield {
      check: 'stored blobs',
      result: 'warning',
      found: `${formatCount(scrub.corruptBlobs, 'blob')} no longer had their digest, and were forgotten`,
      advice: 'see whether the disk is failing: its SMART data, the log of the kernel',
    };
  }
  for (const upstream of upstreams) {
    yield* examineHosts(upstream);
    const { name, rateLimit } = upstream;
    if (rateLimit && !askedHere.includes(name)) yield quotaFinding(name, rateLimit);
  }
}

/** Where the disk is another machine's. */
export function* examineBound({ cache }: StateView): Iterable<Finding> {
  if (!isSqueezed(cache.reachableBytes, cache.maxBytes)) return;
  yield {
    check: 'cache',
    result: 'warning',
    found: `the disk has room for ${formatSize(cache.reachableBytes)} of ${formatSize(cache.maxBytes)}`,
    advice: 'make room on the disk, or set cache.maxSize lower',
  };
}

function* examineHosts({ name, hosts }: UpstreamView): Iterable<Finding> {
  for (const { host, circuit } of hosts) {
    if (circuit !== 'open') continue;
    yield {
      check: `upstream ${name}`,
      result: 'warning',
      found: `${host} does not answer the mirror, which leaves it alone for some seconds at a time`,
      advice: 'see whether that machine reaches it; what is cached is served meanwhile',
    };
  }
}
