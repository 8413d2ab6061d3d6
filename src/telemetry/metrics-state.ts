/** Metrics that are read when somebody scrapes, rather than counted as it happens. */
import { Gauge, type Registry } from 'prom-client';
import type { Upstream } from '../upstream/upstream.ts';
import type { HostLabels } from './metrics-upstream.ts';

/** What is read when somebody scrapes. */
export interface State {
  readonly blobs: number;
  readonly manifests: number;
  /** Bytes in the cache, and how many it may have as far as the disk has room for them. */
  readonly used: number;
  readonly limit: number;
  /** How many it may have by the configuration. */
  readonly maxBytes: number;
  /** Of what is pinned and here. */
  readonly pinnedBytes: number;
  /** Of the file system of the data directory. */
  readonly disk: { readonly freeBytes: number; readonly sizeBytes: number };
  readonly downloads: number;
  /** Downloads that wait for their turn. */
  readonly waiting: number;
  /** Of half-downloaded blobs that are kept. */
  readonly partialBytes: number;
  readonly upstreams: readonly Pick<Upstream, 'name' | 'rateLimit' | 'circuits'>[];
  readonly isOffline: boolean;
  /** Parts of our own storage, and whether they fail. */
  readonly storage: readonly { readonly part: string; readonly isFailing: boolean }[];
  readonly scrub: ScrubState;
  /** Processes that answer clients beside this one. */
  readonly workers: number;
}

export interface ScrubState {
  readonly isRunning: boolean;
  /** From the beginning of one to that of the next; undefined where it does not come round by itself. */
  readonly intervalSeconds: number | undefined;
  readonly scannedBlobs: number;
  readonly scannedBytes: number;
  /** Milliseconds since the epoch. */
  readonly lastCompletedAt: number | undefined;
}

const CIRCUIT_VALUES = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Which program it is. */
export function buildInfo(registry: Registry, version: string): void {
  const labels = { version, node_version: process.version };
  new Gauge({
    name: 'entrepot_build_info',
    help: 'Always 1; the versions of Entrepôt and of Node.js are in the labels.',
    ...{ labelNames: Object.keys(labels), registers: [registry] },
  }).set(labels, 1);
}

/** Sets them all from what is read. */
export function stateGauges(
  registry: Registry,
  readState: () => Promise<State>,
  hosts: HostLabels,
): () => Promise<void> {
  const setters = [cacheGauges(registry), workGauges(registry), upstreamGauges(registry, hosts)];
  return async () => {
    const state = await readState();
    for (const set of setters) set(state);
  };
}

function gaugesOf(registry: Registry) {
  return (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
}

function cacheGauges(registry: Registry): (state: State) => void {
  const gauge = gaugesOf(registry);
  const blobs = gauge('entrepot_cache_blobs', 'Blobs in the cache.');
  const manifests = gauge('entrepot_cache_manifests', 'Manifests in the cache.');
  const bytes = gauge('entrepot_cache_bytes', 'Bytes in the cache.');
  const maxBytes = gauge('entrepot_cache_max_bytes', 'Bytes that the cache may have by its setting.');
  const reachable = gauge(
    'entrepot_cache_reachable_bytes',
    'Bytes that the cache may have as far as the disk has room for them.',
  );
  const partials = gauge('entrepot_partial_bytes', 'Bytes of half-downloaded blobs.');
  const pinned = gauge('entrepot_pinned_bytes', 'Bytes in the cache that are pinned, and never evicted.');
  const diskFree = gauge('entrepot_disk_free_bytes', "Bytes left on the data directory's file system.");
  const diskSize = gauge('entrepot_disk_size_bytes', "Bytes that the data directory's file system has.");
  return (state) => {
    blobs.set(state.blobs);
    manifests.set(state.manifests);
    bytes.set(state.used);
    maxBytes.set(state.maxBytes);
    reachable.set(state.limit);
    partials.set(state.partialBytes);
    pinned.set(state.pinnedBytes);
    diskFree.set(state.disk.freeBytes);
    diskSize.set(state.disk.sizeBytes);
  };
}

function workGauges(registry: Registry): (state: State) => void {
  const gauge = gaugesOf(registry);
  const downloads = gauge('entrepot_downloads_running', 'Blobs on their way in.');
  const waiting = gauge('entrepot_downloads_waiting', 'Downloads that wait for their turn.');
  const offline = gauge('entrepot_offline', 'Whether the mirror is switched offline: 1 if so.');
  const failing = gauge('entrepot_storage_failing', 'Whether that part of the storage fails: 1 if so.', [
    'part',
  ]);
  const scrubRuns = gauge('entrepot_scrub_running', 'Whether stored blobs are being read again: 1 if so.');
  const scrubbedBytes = gauge(
    'entrepot_scrub_scanned_bytes',
    'Bytes read by the scrub that runs, or ran last.',
  );
  const scrubbedBlobs = gauge(
    'entrepot_scrub_scanned_blobs',
    'Blobs read by the scrub that runs, or ran last.',
  );
  const scrubInterval = gauge(
    'entrepot_scrub_interval_seconds',
    'How often a scrub begins; 0 where it does so only when it is asked to.',
  );
  const scrubbedAt = gauge(
    'entrepot_scrub_last_completed_timestamp_seconds',
    'When every stored blob had last been read again.',
  );
  const workers = gauge(
    'entrepot_workers',
    'Worker processes that answer clients; none where this one does.',
  );
  return ({ scrub, ...state }) => {
    downloads.set(state.downloads);
    waiting.set(state.waiting);
    offline.set(state.isOffline ? 1 : 0);
    for (const { part, isFailing } of state.storage) failing.set({ part }, isFailing ? 1 : 0);
    scrubRuns.set(scrub.isRunning ? 1 : 0);
    scrubbedBytes.set(scrub.scannedBytes);
    scrubbedBlobs.set(scrub.scannedBlobs);
    scrubInterval.set(scrub.intervalSeconds ?? 0);
    if (scrub.lastCompletedAt !== undefined) scrubbedAt.set(scrub.lastCompletedAt / 1000);
    workers.set(state.workers);
  };
}

function upstreamGauges(registry: Registry, hosts: HostLabels): (state: State) => void {
  const gauge = gaugesOf(registry);
  const limit = gauge('entrepot_upstream_rate_limit', "Upstream's pull limit.", ['upstream']);
  const remaining = gauge('entrepot_upstream_rate_limit_remaining', 'Pulls left of that limit.', [
    'upstream',
  ]);
  const window = gauge(
    'entrepot_upstream_rate_limit_window_seconds',
    'For how long a pull counts against that limit.',
    ['upstream'],
  );
  const seenAt = gauge(
    'entrepot_upstream_rate_limit_seen_timestamp_seconds',
    'When upstream last told of its pull limit.',
    ['upstream'],
  );
  const circuit = gauge(
    'entrepot_upstream_circuit',
    'Whether a host is asked: 0 yes, 1 one request is finding out, 2 it is left alone.',
    ['upstream', 'host'],
  );
  return ({ upstreams }) => {
    circuit.reset();
    for (const { name: upstream, rateLimit, circuits } of upstreams) {
      if (rateLimit?.limit !== undefined) limit.set({ upstream }, rateLimit.limit);
      if (rateLimit?.remaining !== undefined) remaining.set({ upstream }, rateLimit.remaining);
      if (rateLimit?.windowSeconds !== undefined) window.set({ upstream }, rateLimit.windowSeconds);
      if (rateLimit) seenAt.set({ upstream }, rateLimit.seenAt / 1000);
      const worst = new Map<string, number>();
      for (const { host: name, state } of circuits) {
        const host = hosts.of(name);
        worst.set(host, Math.max(worst.get(host) ?? 0, CIRCUIT_VALUES[state]));
      }
      for (const [host, value] of worst) circuit.set({ upstream, host }, value);
    }
  };
}
