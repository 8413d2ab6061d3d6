/** What the admin listener shows of the parts: whether the mirror can serve, what is wrong meanwhile, and its metrics. */
import { access, constants } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import type { Spool } from './blobs/spool.ts';
import type { Front } from './front.ts';
import { createAdminApp } from './http/admin.ts';
import type { Scrub } from './jobs/scrub.ts';
import type { FairQueue } from './lib/fair-queue.ts';
import { systemMessage } from './lib/system-message.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import type { Observers } from './observers.ts';
import type { CacheSpace } from './repository/cache-space.ts';
import { roomWarnings } from './repository/storage-health.ts';
import type { State } from './telemetry/metrics-state.ts';
import type { Metrics } from './telemetry/metrics.ts';
import type { Upstream } from './upstream/upstream.ts';

export interface Shown {
  readonly metadata: MetadataStore;
  readonly metrics: Metrics;
  readonly observers: Observers;
  readonly space: CacheSpace;
  readonly offline: { isOn: boolean };
  isStopping: boolean;
  readUpstreams: () => readonly Upstream[];
  /** None before there is something to answer with. */
  readonly front: { current: Front | undefined };
}

export function adminAppOf(core: Shown, dataDir: string): RequestListener {
  const { metrics, observers, space, metadata } = core;
  return createAdminApp({
    /** Why requests should not be sent here. */
    findFaults: () => Promise.resolve(faultsOf(core)),
    /** What costs nobody a pull: it goes straight through. */
    findWarnings: async () => [
      ...(core.offline.isOn ? ['the mirror is switched offline'] : []),
      ...observers.storage.warnings,
      ...(core.front.current?.warnings ?? []),
      ...(await warningOf('the data directory can not be written', access(dataDir, constants.W_OK))),
      ...(await warningOf('the index can not be read', metadata.totals())),
      ...(await space.usage().then(roomWarnings, () => [])),
    ],
    metrics: { contentType: metrics.contentType, render: () => renderAll(core) },
  });
}

function faultsOf({ isStopping, front }: Shown): readonly string[] {
  if (isStopping) return ['the mirror is shutting down'];
  return front.current ? [] : ['the mirror is starting'];
}

async function renderAll({ metrics, front }: Shown): Promise<string> {
  return metrics.render(await front.current?.snapshots());
}

async function warningOf(what: string, working: Promise<unknown>): Promise<readonly string[]> {
  return working.then(
    () => [],
    (error: unknown) => [`${what}: ${systemMessage(error)}`],
  );
}

/** What is read when somebody scrapes. What can't be read now is no number. */
export async function stateOf(
  parts: Shown & { readonly places: FairQueue; readonly spool: Spool; readonly scrub: Scrub },
): Promise<State> {
  const { metadata, space, places, spool, observers, front, offline, scrub } = parts;
  return {
    ...(await metadata.totals().catch(() => ({ blobs: NaN, manifests: NaN }))),
    ...(await space.usage().catch(() => ({ used: NaN, limit: NaN }))),
    ...{ downloads: places.taken, waiting: places.waiting },
    ...{ partialBytes: spool.partialBytes, storage: observers.storage.parts },
    ...{ upstreams: parts.readUpstreams(), isOffline: offline.isOn },
    scrub: await scrub.progress(),
    workers: front.current?.running ?? 0,
  };
}
