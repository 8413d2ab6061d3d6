/**
 * Metrics of what clients ask for and get. A request costs an addition or two: the counters, Distribution's five among
 * them, are made of what was added up when somebody scrapes.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { TrafficCounts } from '../metadata/catalog-store.ts';
import type { Snapshot } from './metrics-merge.ts';
import { Timing, type TimingSeries } from './metrics-timing.ts';

export interface ServedRequest {
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly source?: 'hit' | 'miss' | 'joined' | 'revalidated' | 'stale' | undefined;
  readonly bytes: number;
  readonly durationMs: number;
  /** Until the head of the answer went out; without one, none did. */
  readonly firstByteMs?: number | undefined;
}

/** What was counted of requests that have all of these in common. */
interface Series {
  readonly route: string;
  readonly method: string;
  readonly status: string;
  readonly source: string;
  requests: number;
  bytes: number;
  readonly duration: TimingSeries;
  readonly firstByte: TimingSeries;
}

type Add = (labels: Record<string, string>, value: number) => void;

/** A method that no client sends to a registry is counted as one of them all. */
const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE']);
export const CACHED_TYPES = ['blob', 'manifest'] as const;
const FROM_CACHE: readonly string[] = ['hit', 'revalidated', 'stale'];
/** From an answer out of memory to the slowest layer. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

const REQUESTS = 'entrepot_requests_total';
const SERVED = 'entrepot_served_bytes_total';
export const FETCHED = 'entrepot_fetched_bytes_total';

export class RequestMetrics {
  /** Requests that are being answered now, or wait for their turn. */
  readInFlight: () => number = () => 0;
  readonly #registry: Registry;
  readonly #series = new Map<string, Series>();
  readonly #requests: Counter;
  readonly #servedBytes: Counter;
  readonly #duration: Timing;
  readonly #firstByte: Timing;

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#requests = this.#counter(
      REQUESTS,
      'Requests on the registry listener.',
      ['route', 'method', 'status', 'source'],
      (add) => {
        for (const { route, method, status, source, requests } of this.#series.values())
          add({ route, method, status, source }, requests);
      },
    );
    this.#servedBytes = this.#counter(
      SERVED,
      'Bytes of bodies sent to clients.',
      ['route', 'source'],
      (add) => {
        for (const { route, source, bytes } of this.#series.values()) add({ route, source }, bytes);
      },
    );
    this.#counter(
      'entrepot_download_joins_total',
      'Requests that were served by a download which another had begun.',
      [],
      (add) =>
        add(
          {},
          this.#sum(({ route, source }) => route === 'blob' && source === 'joined', 'requests'),
        ),
    );
    const timing = (name: string, help: string) =>
      new Timing(registry, { name, help, labelNames: ['route', 'source'], bounds: SECONDS });
    this.#duration = timing(
      'entrepot_request_duration_seconds',
      'From the request to the end of its answer.',
    );
    this.#firstByte = timing(
      'entrepot_request_first_byte_seconds',
      'From the request to the head of its answer.',
    );
    const inFlight: Gauge = new Gauge({
      name: 'entrepot_requests_in_flight',
      help: 'Requests that are being answered, or wait for those before them on their connection.',
      registers: [registry],
      collect: () => inFlight.set(this.readInFlight()),
    });
    // Under Distribution's names, so that dashboards made for its proxy go on working.
    this.#addProxy('requests', 'Requests for cached content.', 'requests', () => true);
    this.#addProxy('hits', 'Requests served from the cache.', 'requests', isFromCache);
    this.#addProxy('misses', 'Requests that needed upstream.', 'requests', (how) => !isFromCache(how));
    this.#addProxy('pushed_bytes', 'Bytes pushed to clients.', 'bytes', () => true);
  }

  count({ route, method, status, source, bytes, durationMs, firstByteMs }: ServedRequest): void {
    const how = source ?? 'none';
    const key = `${route} ${method} ${status} ${how}`;
    const series = this.#series.get(key) ?? this.#begin(key, route, method, String(status), how);
    series.requests += 1;
    series.bytes += bytes;
    series.duration.observe(durationMs / 1000);
    if (firstByteMs !== undefined) series.firstByte.observe(firstByteMs / 1000);
  }

  /** As it would be sent to another process. */
  async snapshot(): Promise<Snapshot> {
    return [await this.#requests.get(), await this.#servedBytes.get()];
  }

  #counter(name: string, help: string, labelNames: string[], fill: (add: Add) => void): Counter {
    const made: Counter = new Counter({
      ...{ name, help, labelNames, registers: [this.#registry] },
      collect: () => {
        made.reset();
        fill((labels, value) => made.inc(labels, value));
      },
    });
    return made;
  }

  #addProxy(
    what: string,
    help: string,
    field: 'requests' | 'bytes',
    isMeant: (source: string) => boolean,
  ): void {
    this.#counter(`registry_proxy_${what}_total`, help, ['type'], (add) => {
      for (const type of CACHED_TYPES) {
        const isSuch = ({ route, source }: Series) => route === type && source !== 'none' && isMeant(source);
        add({ type }, this.#sum(isSuch, field));
      }
    });
  }

  #begin(key: string, route: string, anyMethod: string, status: string, source: string): Series {
    if (!METHODS.has(anyMethod) && anyMethod !== OTHER) {
      const shared = `${route} ${OTHER} ${status} ${source}`;
      return this.#series.get(shared) ?? this.#begin(shared, route, OTHER, status, source);
    }
    const series: Series = {
      ...{ route, method: anyMethod, status, source, requests: 0, bytes: 0 },
      duration: this.#duration.series({ route, source }),
      firstByte: this.#firstByte.series({ route, source }),
    };
    this.#series.set(key, series);
    return series;
  }

  #sum(isMeant: (series: Series) => boolean, field: 'requests' | 'bytes'): number {
    let sum = 0;
    for (const series of this.#series.values()) if (isMeant(series)) sum += series[field];
    return sum;
  }
}

const OTHER = 'other';

function isFromCache(source: string): boolean {
  return FROM_CACHE.includes(source);
}

interface Sample {
  readonly labels: Readonly<Record<string, string | undefined>>;
  readonly value: number;
}

/** What all of them counted of manifests and blobs. */
export function trafficIn(snapshots: readonly Snapshot[]): TrafficCounts {
  const metrics = snapshots.flat() as { readonly name: string; readonly values: readonly Sample[] }[];
  const sum = (name: string, isMeant: (labels: Sample['labels']) => boolean) =>
    metrics
      .filter((metric) => metric.name === name)
      .flatMap(({ values }) => values)
      .reduce((total, { labels, value }) => total + (isMeant(labels) ? value : 0), 0);
  const isServed = ({ route, source }: Sample['labels']) =>
    CACHED_TYPES.some((type) => type === route) && source !== 'none';
  const isHit = (labels: Sample['labels']) => isServed(labels) && isFromCache(labels['source'] ?? '');
  return {
    requests: sum(REQUESTS, isServed),
    hits: sum(REQUESTS, isHit),
    servedBytes: sum(SERVED, isServed),
    hitBytes: sum(SERVED, isHit),
    fetchedBytes: sum(FETCHED, () => true),
  };
}
