/** What the mirror is doing, put together from its parts for whoever runs it. It changes nothing. */
import type { FairQueue } from '../lib/fair-queue.ts';
import type { Scrub } from '../jobs/scrub.ts';
import type { TrafficSpan } from '../metadata/catalog-store.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { CacheSpace } from '../repository/cache-space.ts';
import type { Downloads } from '../repository/downloads.ts';
import type { ClientsSeen } from '../telemetry/clients-seen.ts';
import type { Troubles } from '../telemetry/troubles.ts';
import type { RateLimit, Upstream } from '../upstream/upstream.ts';
import type { Overview } from './administration.ts';
import type { Traffic } from './traffic.ts';
import type {
  CacheView,
  ClientView,
  DownloadView,
  HealthView,
  HistoryView,
  RateLimitView,
  ScrubView,
  StateView,
  TrafficView,
  TroubleView,
  UpstreamView,
} from './views.ts';

/** An upstream as it is configured, and as it does. */
export type ShownUpstream = Pick<UpstreamView, 'url' | 'namespaces' | 'account'> & {
  readonly upstream: Pick<Upstream, 'name' | 'rateLimit' | 'circuits'>;
};

export interface OverviewPorts {
  readonly instance: string;
  readonly version: string;
  readonly startedAt: number;
  readonly now: () => number;
  readonly registryUrl: () => string;
  readonly findFaults: () => Promise<readonly string[]>;
  readonly findWarnings: () => Promise<readonly string[]>;
  readonly offline: { readonly isOn: boolean };
  readonly metadata: Pick<MetadataStore, 'totals'>;
  readonly space: Pick<CacheSpace, 'usage' | 'pinnedBytes'>;
  /** Of half-downloaded blobs. */
  readonly partialBytes: () => number;
  readonly maxBytes: () => Promise<number>;
  readonly freeBytes: () => Promise<number>;
  readonly traffic: Traffic;
  readonly downloads: Pick<Downloads, 'list'>;
  readonly places: Pick<FairQueue, 'taken' | 'waiting'>;
  /** By which it can be pulled from here. */
  readonly nameOf: (repository: RepositoryKey) => string;
  /** The first is the default. */
  readonly upstreams: readonly ShownUpstream[];
  readonly scrub: Pick<Scrub, 'progress'>;
  readonly workers: () => number;
  readonly troubles: Pick<Troubles, 'list'>;
  readonly clients: Pick<ClientsSeen, 'list'>;
}

const UNKNOWN_CACHE: CacheView = {
  ...{ bytes: 0, maxBytes: 0, reachableBytes: 0, blobs: 0, manifests: 0 },
  ...{ partialBytes: 0, pinnedBytes: 0, diskFreeBytes: 0 },
};
const UNKNOWN_SCRUB: ScrubView = { isRunning: false, scannedBlobs: 0, scannedBytes: 0, corruptBlobs: 0 };

export class LiveOverview implements Overview {
  readonly #ports: OverviewPorts;
  /** As they were when they could last be read: while that fails, `health` says so, and all else is worth seeing. */
  #cache = UNKNOWN_CACHE;
  #scrub = UNKNOWN_SCRUB;

  constructor(ports: OverviewPorts) {
    this.#ports = ports;
  }

  async state(): Promise<StateView> {
    const { instance, version, startedAt, now, registryUrl, offline, traffic, places, workers } = this.#ports;
    const [health, cache, scrub, sinceStart, recorded] = await Promise.all([
      this.#readHealth(),
      this.#readCache().catch(() => this.#cache),
      this.#readScrub().catch(() => this.#scrub),
      traffic.sinceStart(),
      traffic.recorded(),
    ]);
    return {
      ...{ instance, version, startedAt: iso(startedAt), now: iso(now()), registryUrl: registryUrl() },
      ...{ health, isOffline: offline.isOn, cache: (this.#cache = cache) },
      traffic: { sinceStart: trafficView(sinceStart), recorded: trafficView(recorded) },
      downloads: { running: places.taken, queued: places.waiting },
      upstreams: this.#ports.upstreams.map(upstreamView),
      ...{ scrub: (this.#scrub = scrub), workers: workers() },
    };
  }

  async history(from: number, stepSeconds: number): Promise<HistoryView> {
    const { stepMs, spans } = await this.#ports.traffic.history(from, stepSeconds);
    const points = spans.map(({ beganAt, ...counts }) => ({ at: iso(beganAt), ...counts }));
    return { stepSeconds: stepMs / 1000, points };
  }

  troubles(): readonly TroubleView[] {
    return this.#ports.troubles.list();
  }

  /** With workers, without what they answer from their own memory: this process never sees who asked for that. */
  clients(): readonly ClientView[] {
    return this.#ports.clients
      .list()
      .map(({ lastSeenAt, ...client }) => ({ ...client, lastSeenAt: iso(lastSeenAt) }));
  }

  downloads(): readonly DownloadView[] {
    return this.#ports.downloads.list().map(({ repository: key, size, startedAt, ...download }) => ({
      ...{ ...download, upstream: key.upstream, repository: this.#ports.nameOf(key) },
      startedAt: iso(startedAt),
      ...(size === undefined ? {} : { size }),
    }));
  }

  async #readHealth(): Promise<HealthView> {
    const [faults, warnings] = await Promise.all([this.#ports.findFaults(), this.#ports.findWarnings()]);
    const status = faults.length > 0 ? 'not ready' : warnings.length > 0 ? 'degraded' : 'ok';
    return { status, faults, warnings };
  }

  async #readCache(): Promise<CacheView> {
    const { metadata, space, partialBytes, maxBytes, freeBytes } = this.#ports;
    const [{ blobs, manifests }, usage, max, pinnedBytes, diskFreeBytes] = await Promise.all([
      metadata.totals(),
      space.usage(),
      maxBytes(),
      space.pinnedBytes(),
      freeBytes(),
    ]);
    return {
      ...{ bytes: usage.used, maxBytes: max, reachableBytes: usage.limit, blobs, manifests },
      ...{ partialBytes: partialBytes(), pinnedBytes, diskFreeBytes },
    };
  }

  async #readScrub(): Promise<ScrubView> {
    return scrubView(await this.#ports.scrub.progress());
  }
}

export function scrubView({
  lastCompletedAt,
  ...progress
}: Awaited<ReturnType<Scrub['progress']>>): ScrubView {
  return { ...progress, ...(lastCompletedAt === undefined ? {} : { lastCompletedAt: iso(lastCompletedAt) }) };
}

function trafficView({ beganAt, ...counts }: TrafficSpan): TrafficView {
  const savedBytes = Math.max(0, counts.servedBytes - counts.fetchedBytes);
  return { since: iso(beganAt), ...counts, savedBytes };
}

function upstreamView({ upstream, ...configured }: ShownUpstream, position: number): UpstreamView {
  const { name, rateLimit, circuits } = upstream;
  return {
    ...{ name, ...configured, isDefault: position === 0 },
    ...(rateLimit ? { rateLimit: rateLimitView(rateLimit) } : {}),
    hosts: circuits.map(({ host, state: circuit }) => ({ host, circuit })),
  };
}

function rateLimitView({ limit, remaining, windowSeconds, seenAt }: RateLimit): RateLimitView {
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(remaining === undefined ? {} : { remaining }),
    ...(windowSeconds === undefined ? {} : { windowSeconds }),
    seenAt: iso(seenAt),
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
