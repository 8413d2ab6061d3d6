/** Every metric of the process, declared in one place. Labels come from closed sets: never a repository or a digest. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { renderMerged, type Snapshot } from './metrics-merge.ts';
import { monitorEventLoop } from './metrics-event-loop.ts';
import { stateGauges, type State } from './metrics-state.ts';

export interface ServedRequest {
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly source?: 'hit' | 'miss' | 'joined' | 'revalidated' | 'stale' | undefined;
  readonly bytes: number;
  readonly durationMs: number;
}

export interface UpstreamExchange {
  readonly kind: string;
  readonly method: string;
  /** A status, or why there was none. */
  readonly outcome: string;
}

/** A method that no client sends to a registry is counted as one of them all. */
const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE']);
const CACHED_TYPES = ['blob', 'manifest'] as const;

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = this.#counter('entrepot_requests_total', 'Requests on the registry listener.', [
    'route',
    'method',
    'status',
    'source',
  ]);
  readonly #servedBytes = this.#counter('entrepot_served_bytes_total', 'Bytes of bodies sent to clients.', [
    'route',
  ]);
  readonly #duration = new Histogram({
    name: 'entrepot_request_duration_seconds',
    help: 'From the request to the end of its answer.',
    labelNames: ['route', 'source'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300],
    registers: [this.#registry],
  });
  readonly #upstreamRequests = this.#counter('entrepot_upstream_requests_total', 'Requests to upstreams.', [
    'kind',
    'method',
    'outcome',
  ]);
  readonly #fetchedBytes = this.#counter(
    'entrepot_fetched_bytes_total',
    'Bytes of content received from upstreams.',
    ['type'],
  );
  readonly #downloads = this.#counter('entrepot_downloads_total', 'Blobs fetched, by how that ended.', [
    'outcome',
  ]);
  readonly #downloadRetries = this.#counter(
    'entrepot_download_retries_total',
    'Downloads taken up again.',
    [],
  );
  readonly #evictedBytes = this.#counter(
    'entrepot_evicted_bytes_total',
    'Bytes evicted to stay within the bound.',
    [],
  );
  readonly #evictedBlobs = this.#counter(
    'entrepot_evicted_blobs_total',
    'Blobs evicted to stay within the bound.',
    [],
  );
  readonly #resumed = this.#counter(
    'entrepot_downloads_resumed_total',
    'Downloads that went on where an earlier one, perhaps before a restart, had broken off.',
    [],
  );
  readonly #rejected = this.#counter(
    'entrepot_upstream_rejected_total',
    'Answers of upstreams that no registry may give, such as bytes with another digest.',
    ['kind'],
  );
  readonly #corruptBlobs = this.#counter(
    'entrepot_corrupt_blobs_total',
    'Blobs on disk that no longer had their digest.',
    [],
  );
  readonly #storageErrors = this.#counter(
    'entrepot_storage_errors_total',
    'Failures of our own disk, by the part of the storage that met them.',
    ['part'],
  );
  readonly #refused = this.#counter(
    'entrepot_refused_connections_total',
    'Connections and requests that were refused before they reached the registry, by the reason.',
    ['reason'],
  );
  readonly #lostBlobs = this.#counter(
    'entrepot_lost_blobs_total',
    'Blobs that were missing or cut short on disk.',
    [],
  );
  readonly #workerRestarts = this.#counter(
    'entrepot_worker_restarts_total',
    'Worker processes that took the place of one that was gone.',
    [],
  );
  // Under Distribution's names, so that dashboards made for its proxy go on working.
  readonly #proxyRequests = this.#counter('registry_proxy_requests_total', 'Requests for cached content.', [
    'type',
  ]);
  readonly #proxyHits = this.#counter('registry_proxy_hits_total', 'Requests served from the cache.', [
    'type',
  ]);
  readonly #proxyMisses = this.#counter('registry_proxy_misses_total', 'Requests that needed upstream.', [
    'type',
  ]);
  readonly #proxyPulled = this.#counter('registry_proxy_pulled_bytes_total', 'Bytes pulled from upstream.', [
    'type',
  ]);
  readonly #proxyPushed = this.#counter('registry_proxy_pushed_bytes_total', 'Bytes pushed to clients.', [
    'type',
  ]);

  constructor(version: string, readState: () => Promise<State>) {
    this.#gauge('entrepot_build_info', 'Always 1; the version is in the label.', ['version']).set(
      { version },
      1,
    );
    for (const type of CACHED_TYPES) {
      for (const counter of [
        this.#fetchedBytes,
        this.#proxyRequests,
        this.#proxyHits,
        this.#proxyMisses,
        this.#proxyPulled,
        this.#proxyPushed,
      ]) {
        counter.inc({ type }, 0);
      }
    }
    this.#refresh = stateGauges(this.#registry, readState);
  }

  readonly #refresh: () => Promise<void>;
  readonly #eventLoop = monitorEventLoop(this.#registry);

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** @param others of processes that work for this one, to be counted with it */
  async render(others: readonly Snapshot[] = []): Promise<string> {
    await this.#refresh();
    if (others.length === 0) return this.#registry.metrics();
    return renderMerged([await this.#registry.getMetricsAsJSON(), ...others]);
  }

  /** Looks at the event loop no longer. */
  close(): void {
    this.#eventLoop[Symbol.dispose]();
  }

  /** What was counted here, for a process that knows the state of the whole. */
  async snapshot(): Promise<Snapshot> {
    const metrics = await this.#registry.getMetricsAsJSON();
    return metrics.filter(({ name, type }) => !(name.startsWith('entrepot_') && String(type) === 'gauge'));
  }

  countRequest({ route, method, status, source, bytes, durationMs }: ServedRequest): void {
    const how = source ?? 'none';
    this.#requests.inc({ route, method: METHODS.has(method) ? method : 'other', status, source: how });
    this.#servedBytes.inc({ route }, bytes);
    this.#duration.observe({ route, source: how }, durationMs / 1000);
    const type = CACHED_TYPES.find((cached) => cached === route);
    if (!type || source === undefined) return;
    this.#proxyRequests.inc({ type });
    (source === 'miss' || source === 'joined' ? this.#proxyMisses : this.#proxyHits).inc({ type });
    this.#proxyPushed.inc({ type }, bytes);
  }

  countUpstreamExchange({ kind, method, outcome }: UpstreamExchange): void {
    this.#upstreamRequests.inc({ kind, method, outcome });
  }

  countFetched(type: (typeof CACHED_TYPES)[number], bytes: number): void {
    this.#fetchedBytes.inc({ type }, bytes);
    this.#proxyPulled.inc({ type }, bytes);
  }

  countDownload(outcome: string): void {
    this.#downloads.inc({ outcome });
  }

  countDownloadRetry(): void {
    this.#downloadRetries.inc();
  }

  countEvicted(blobs: number, bytes: number): void {
    this.#evictedBlobs.inc(blobs);
    this.#evictedBytes.inc(bytes);
  }

  countWorkerRestart(): void {
    this.#workerRestarts.inc();
  }

  countLostBlob(): void {
    this.#lostBlobs.inc();
  }

  countResumed(): void {
    this.#resumed.inc();
  }

  countRejected(kind: string): void {
    this.#rejected.inc({ kind });
  }

  countCorruptBlob(): void {
    this.#corruptBlobs.inc();
  }

  countStorageError(part: string): void {
    this.#storageErrors.inc({ part });
  }

  countRefused(reason: string): void {
    this.#refused.inc({ reason });
  }

  #counter(name: string, help: string, labelNames: readonly string[]): Counter {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }

  #gauge(name: string, help: string, labelNames: readonly string[]): Gauge {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
  }
}
