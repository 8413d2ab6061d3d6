/** Metrics that are read when somebody scrapes, rather than counted as it happens. */
import { Gauge, type Registry } from 'prom-client';
import type { Upstream } from '../upstream/upstream.ts';

/** What is read when somebody scrapes. */
export interface State {
  readonly blobs: number;
  readonly manifests: number;
  /** Bytes in the cache, and how many it may have. */
  readonly used: number;
  readonly limit: number;
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
  readonly scannedBlobs: number;
  readonly scannedBytes: number;
  /** Milliseconds since the epoch. */
  readonly lastCompletedAt: number | undefined;
}

const CIRCUIT_VALUES = { closed: 0, 'half-open': 1, open: 2 } as const;

/** Sets them all from what is read. */
export function stateGauges(registry: Registry, readState: () => Promise<State>): () => Promise<void> {
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  const blobs = gauge('entrepot_cache_blobs', 'Blobs in the cache.');
  const manifests = gauge('entrepot_cache_manifests', 'Manifests in the cache.');
  const bytes = gauge('entrepot_cache_bytes', 'Bytes in the cache.');
  const maxBytes = gauge('entrepot_cache_max_bytes', 'Bytes that the cache may have.');
  const downloads = gauge('entrepot_downloads_running', 'Blobs on their way in.');
  const waiting = gauge('entrepot_downloads_waiting', 'Downloads that wait for their turn.');
  const partials = gauge('entrepot_partial_bytes', 'Bytes of half-downloaded blobs.');
  const offline = gauge('entrepot_offline', 'Whether the mirror is switched offline: 1 if so.');
  const failing = gauge('entrepot_storage_failing', 'Whether that part of the storage fails: 1 if so.', [
    'part',
  ]);
  const scrubbed = gauge('entrepot_scrub_scanned_bytes', 'Bytes read by the scrub that runs.');
  const scrubbedAt = gauge(
    'entrepot_scrub_last_completed_timestamp_seconds',
    'When every stored blob had last been read again.',
  );
  const limit = gauge('entrepot_upstream_rate_limit', "Upstream's pull limit.", ['upstream']);
  const remaining = gauge('entrepot_upstream_rate_limit_remaining', 'Pulls left of that limit.', [
    'upstream',
  ]);
  const workers = gauge(
    'entrepot_workers',
    'Worker processes that answer clients; none where this one does.',
  );
  const circuit = gauge(
    'entrepot_upstream_circuit',
    'Whether a host is asked: 0 yes, 1 one request is finding out, 2 it is left alone.',
    ['upstream', 'host'],
  );
  return async () => {
    const state = await readState();
    blobs.set(state.blobs);
    manifests.set(state.manifests);
    bytes.set(state.used);
    maxBytes.set(state.limit);
    downloads.set(state.downloads);
    waiting.set(state.waiting);
    partials.set(state.partialBytes);
    offline.set(state.isOffline ? 1 : 0);
    for (const { part, isFailing } of state.storage) failing.set({ part }, isFailing ? 1 : 0);
    scrubbed.set(state.scrub.scannedBytes);
    if (state.scrub.lastCompletedAt !== undefined) scrubbedAt.set(state.scrub.lastCompletedAt / 1000);
    workers.set(state.workers);
    circuit.reset();
    for (const { name: upstream, rateLimit, circuits } of state.upstreams) {
      if (rateLimit?.limit !== undefined) limit.set({ upstream }, rateLimit.limit);
      if (rateLimit?.remaining !== undefined) remaining.set({ upstream }, rateLimit.remaining);
      for (const { host, state: is } of circuits) circuit.set({ upstream, host }, CIRCUIT_VALUES[is]);
    }
  };
}
