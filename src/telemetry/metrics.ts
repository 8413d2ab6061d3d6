/** Every metric of the process, declared here and in the files beside. Labels come from closed sets: never a repository or a digest. */
import { Counter, Histogram, Registry } from 'prom-client';
import type { TrafficCounts } from '../metadata/catalog-store.ts';
import { renderMerged, type Snapshot } from './metrics-merge.ts';
import { monitorEventLoop } from './metrics-event-loop.ts';
import { addProcessMetrics } from './metrics-process.ts';
import { RequestMetrics, trafficIn, type CACHED_TYPES, type ServedRequest } from './metrics-requests.ts';
import { buildInfo, stateGauges, type State } from './metrics-state.ts';
import { HostLabels, UpstreamMetrics, type UpstreamExchange } from './metrics-upstream.ts';

/** Why a download failed: upstream did, or our storage, or it was ended. */
export const FAILURE_CAUSES = [
  ...(['unreachable', 'rate-limited', 'denied', 'misconfigured', 'protocol', 'mismatch'] as const),
  ...(['storage', 'offline', 'aborted', 'other'] as const),
] as const;
export type FailureCause = (typeof FAILURE_CAUSES)[number];

export const DOWNLOAD_OUTCOMES = [
  ...(['stored', 'uncached', 'absent', 'mismatch', 'failed', 'aborted', 'abandoned'] as const),
] as const;

/** Of content that went. */
export interface Gone {
  readonly blobs: number;
  readonly manifests: number;
  readonly bytes: number;
}

export interface MetricDescription {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

const HOUR = 3600;
const DAY = 24 * HOUR;
const AGES = [60, 600, HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY];

export class Metrics {
  /** What was counted here, which those of other processes are added to. */
  readonly #counted = new Registry();
  /** The state of the whole, of which there is one. */
  readonly #state = new Registry();
  readonly #hosts = new HostLabels();
  readonly #requests = new RequestMetrics(this.#counted);
  readonly #upstream = new UpstreamMetrics(this.#counted, this.#hosts);
  readonly #downloads = this.#counter(
    'entrepot_downloads_total',
    'Blobs fetched, by how that ended.',
    'outcome',
  );
  readonly #downloadFailures = this.#counter(
    'entrepot_download_failures_total',
    'Downloads that did not come to a good end, by the cause.',
    'cause',
  );
  readonly #downloadRetries = this.#counter('entrepot_download_retries_total', 'Downloads taken up again.');
  readonly #resumed = this.#counter(
    'entrepot_downloads_resumed_total',
    'Downloads that went on where an earlier one, perhaps before a restart, had broken off.',
  );
  readonly #evicted = this.#goneCounters('evicted', 'evicted to stay within the bound');
  readonly #evictedAge = new Histogram({
    name: 'entrepot_evicted_age_seconds',
    help: 'Each time that something was evicted: since when what went first had not been used.',
    buckets: AGES,
    registers: [this.#counted],
  });
  readonly #purged = this.#goneCounters('purged', 'purged by whoever runs the mirror');
  readonly #corruptBlobs = this.#counter(
    'entrepot_corrupt_blobs_total',
    'Blobs on disk that no longer had their digest.',
  );
  readonly #lostBlobs = this.#counter(
    'entrepot_lost_blobs_total',
    'Blobs that were missing or cut short on disk.',
  );
  readonly #storageErrors = this.#counter(
    'entrepot_storage_errors_total',
    'Failures of our own disk, by the part of the storage that met them.',
    'part',
  );
  readonly #refused = this.#counter(
    'entrepot_refused_connections_total',
    'Connections and requests that were refused before they reached the registry, by the reason.',
    'reason',
  );
  readonly #workerRestarts = this.#counter(
    'entrepot_worker_restarts_total',
    'Worker processes that took the place of one that was gone.',
  );
  readonly #eventLoop = monitorEventLoop(this.#counted);
  readonly #refresh: () => Promise<void>;

  constructor(version: string, readState: () => Promise<State>) {
    addProcessMetrics(this.#counted);
    for (const outcome of DOWNLOAD_OUTCOMES) this.#downloads.inc({ outcome }, 0);
    for (const cause of FAILURE_CAUSES) this.#downloadFailures.inc({ cause }, 0);
    buildInfo(this.#state, version);
    this.#refresh = stateGauges(this.#state, readState, this.#hosts);
  }

  get contentType(): string {
    return this.#counted.contentType;
  }

  /** Requests that are being answered by this process now. */
  set readInFlight(read: () => number) {
    this.#requests.readInFlight = read;
  }

  /** @param others of processes that work for this one, to be counted with it */
  async render(others: readonly Snapshot[] = []): Promise<string> {
    await this.#refresh();
    const counted =
      others.length === 0
        ? await this.#counted.metrics()
        : await renderMerged([await this.snapshot(), ...others]);
    return `${counted}\n${await this.#state.metrics()}`;
  }

  /** Looks at the event loop no longer. */
  close(): void {
    this.#eventLoop[Symbol.dispose]();
  }

  /** What was counted here, for a process that knows the state of the whole. */
  async snapshot(): Promise<Snapshot> {
    return this.#counted.getMetricsAsJSON();
  }

  /** Of manifests and blobs, since the start. */
  async traffic(others: readonly Snapshot[] = []): Promise<TrafficCounts> {
    return trafficIn([await this.#requests.snapshot(), await this.#upstream.snapshot(), ...others]);
  }

  /** Each of them, for the reference. */
  describe(): readonly MetricDescription[] {
    return [this.#counted, this.#state]
      .flatMap((registry) => registry.getMetricsAsArray())
      .map(({ name, help, ...more }) => {
        const { type, labelNames } = more as unknown as { type: string; labelNames: readonly string[] };
        return { name, type, help, labels: labelNames };
      });
  }

  countRequest(request: ServedRequest): void {
    this.#requests.count(request);
  }

  countUpstreamExchange(exchange: UpstreamExchange): void {
    this.#upstream.countExchange(exchange);
  }

  countFetched(type: (typeof CACHED_TYPES)[number], bytes: number): void {
    this.#upstream.countFetched(type, bytes);
  }

  /** @param cause of one that failed */
  countDownload(outcome: (typeof DOWNLOAD_OUTCOMES)[number], cause?: FailureCause): void {
    this.#downloads.inc({ outcome });
    if (cause !== undefined) this.#downloadFailures.inc({ cause });
  }

  countDownloadRetry(): void {
    this.#downloadRetries.inc();
  }

  /** @param ageMs since what went first had last been used */
  countEvicted(evicted: Gone, ageMs: number): void {
    this.#evicted(evicted);
    this.#evictedAge.observe(Math.max(0, ageMs) / 1000);
  }

  countPurged(purged: Gone): void {
    this.#purged(purged);
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
    this.#upstream.countRejected(kind);
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

  #counter(name: string, help: string, ...labelNames: string[]): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#counted] });
  }

  #goneCounters(how: string, help: string): (gone: Gone) => void {
    const counters = (['blobs', 'manifests', 'bytes'] as const).map((what) => {
      const subject = `${what[0]?.toUpperCase() ?? ''}${what.slice(1)}`;
      return [what, this.#counter(`entrepot_${how}_${what}_total`, `${subject} ${help}.`)] as const;
    });
    return (gone) => {
      for (const [what, counter] of counters) counter.inc(gone[what]);
    };
  }
}
