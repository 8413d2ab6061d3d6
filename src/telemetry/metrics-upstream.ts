/** Metrics of what upstreams are asked and what they answer. */
import { Counter, Histogram, type Registry } from 'prom-client';
import { CACHED_TYPES, FETCHED } from './metrics-requests.ts';
import type { Snapshot } from './metrics-merge.ts';

export interface UpstreamExchange {
  readonly kind: string;
  readonly method: string;
  readonly host: string;
  readonly status: number | undefined;
  /** Why there was no status. */
  readonly failure: string | undefined;
  readonly durationMs: number;
}

/** Redirects name hosts that nobody has configured: a registry with a host for each blob must not make as many series. */
const MAX_HOSTS = 50;
const OTHER = 'other';
const RATE_LIMITED = '429';
/** Nobody was asked. */
const UNASKED: readonly string[] = ['circuit-open', 'paused'];
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** The hosts that have a label of their own: those that came first. */
export class HostLabels {
  readonly #known = new Set<string>();

  of(host: string): string {
    if (this.#known.has(host)) return host;
    if (this.#known.size >= MAX_HOSTS) return OTHER;
    this.#known.add(host);
    return host;
  }
}

export class UpstreamMetrics {
  readonly #hosts: HostLabels;
  readonly #requests: Counter;
  readonly #duration: Histogram;
  readonly #tokens: Counter;
  readonly #fetched: Counter;
  readonly #proxyPulled: Counter;
  readonly #rejected: Counter;

  constructor(registry: Registry, hosts: HostLabels) {
    this.#hosts = hosts;
    const registers = [registry];
    const counter = (name: string, help: string, labelNames: string[]) =>
      new Counter({ name, help, labelNames, registers });
    this.#requests = counter('entrepot_upstream_requests_total', 'Requests to upstreams.', [
      ...['kind', 'method', 'outcome', 'host'],
    ]);
    this.#duration = new Histogram({
      name: 'entrepot_upstream_request_duration_seconds',
      help: 'From a request to an upstream to the head of its answer.',
      ...{ labelNames: ['host', 'kind'], buckets: SECONDS, registers },
    });
    this.#tokens = counter(
      'entrepot_upstream_tokens_total',
      'Tokens that token services were asked for, by whether they gave one.',
      ['outcome'],
    );
    this.#fetched = counter(FETCHED, 'Bytes of content received from upstreams.', ['type']);
    this.#proxyPulled = counter('registry_proxy_pulled_bytes_total', 'Bytes pulled from upstream.', ['type']);
    this.#rejected = counter(
      'entrepot_upstream_rejected_total',
      'Answers of upstreams that no registry may give, such as bytes with another digest.',
      ['kind'],
    );
    for (const type of CACHED_TYPES) {
      this.countFetched(type, 0);
      this.#rejected.inc({ kind: type }, 0);
    }
    for (const outcome of ['fetched', 'failed']) this.#tokens.inc({ outcome }, 0);
  }

  countExchange({ kind, method, host: name, status, failure, durationMs }: UpstreamExchange): void {
    const host = this.#hosts.of(name);
    const outcome = String(status ?? failure ?? 'none');
    this.#requests.inc({ kind, method, outcome, host });
    // One that has not been counted before is no increase to Prometheus, and a single one is to be seen.
    this.#requests.inc({ kind, method, outcome: RATE_LIMITED, host }, 0);
    if (kind === 'token' && failure !== 'aborted')
      this.#tokens.inc({ outcome: status === 200 ? 'fetched' : 'failed' });
    if (!UNASKED.includes(outcome)) this.#duration.observe({ host, kind }, durationMs / 1000);
  }

  countFetched(type: (typeof CACHED_TYPES)[number], bytes: number): void {
    this.#fetched.inc({ type }, bytes);
    this.#proxyPulled.inc({ type }, bytes);
  }

  countRejected(kind: string): void {
    this.#rejected.inc({ kind });
  }

  async snapshot(): Promise<Snapshot> {
    return [await this.#fetched.get()];
  }
}
