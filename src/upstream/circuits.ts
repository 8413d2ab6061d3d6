/**
 * Which hosts are left alone for a while because they do not answer: a circuit breaker for each, so that a client gets
 * what is cached, or a refusal, at once, and does not wait for what the last ones have waited for in vain.
 */
import { LRUCache } from 'lru-cache';
import { timeLeft } from '../lib/time-left.ts';
import type { Circuit } from './upstream.ts';

/** A host's new state; where that is `open`, also why, and for how long nobody will ask it. */
export type CircuitChange = Circuit & {
  readonly cause?: Error | undefined;
  readonly openForMs?: number;
};

export interface CircuitsOptions {
  readonly now: () => number;
  /** At least 0, below 1. */
  readonly random: () => number;
  readonly onChange: (change: CircuitChange) => void;
}

/** One request under way. Disposed of without a verdict, it says nothing of the host: its client has left, say. */
export interface Attempt extends Disposable {
  succeed(): void;
  fail(cause: Error): void;
}

/** Why there is no attempt. */
export interface Outage {
  /** The first of the failures in a row. */
  readonly since: number;
  readonly askedAgainInSeconds: number;
  readonly cause: Error | undefined;
}

const MAX_HOSTS = 500;
const FAILURES_TO_OPEN = 3;
const MIN_OPEN_MS = 5000;
const MAX_OPEN_MS = 15_000;
/** Longer than a question may take. One behind our own downloads may wait on, and nobody for it. */
const MAX_PROBE_MS = 30_000;
/** Shortens the time by up to this share of it: mirrors that have lost the same host shall not all come back at once. */
const JITTER = 0.2;

export class Circuits {
  readonly #options: CircuitsOptions;
  readonly #byOrigin = new LRUCache<string, HostCircuit>({ max: MAX_HOSTS });

  constructor(options: CircuitsOptions) {
    this.#options = options;
  }

  get states(): readonly Circuit[] {
    return Array.from(this.#byOrigin.values(), ({ host, state }) => ({ host, state }));
  }

  of(url: URL): HostCircuit {
    const known = this.#byOrigin.get(url.origin);
    if (known !== undefined) return known;
    const circuit = new HostCircuit(url.host, this.#options);
    this.#byOrigin.set(url.origin, circuit);
    return circuit;
  }
}

export class HostCircuit {
  readonly host: string;
  readonly #options: CircuitsOptions;
  #state: Circuit['state'] = 'closed';
  /** In a row; while the circuit is not closed, those of probes. */
  #failures = 0;
  #failingSince = 0;
  #lastFailure: Error | undefined;
  #openedAt = 0;
  #openForMs = 0;
  #probe: Attempt | undefined;
  #probedAt = 0;

  constructor(host: string, options: CircuitsOptions) {
    this.host = host;
    this.#options = options;
  }

  get state(): Circuit['state'] {
    return this.#state;
  }

  get outage(): Outage {
    // While a probe is under way: nobody knows, but soon.
    const askedAgainInSeconds = Math.max(1, Math.ceil(this.#leftMs / 1000));
    return { since: this.#failingSince, askedAgainInSeconds, cause: this.#lastFailure };
  }

  /** @returns undefined where the host is left alone: see `outage` */
  attempt(): Attempt | undefined {
    if (this.#state === 'open' && this.#leftMs === 0) this.#become('half-open');
    if (this.#state === 'open' || this.#isProbed) return undefined;
    const attempt: Attempt = {
      succeed: () => this.#succeeded(),
      fail: (cause) => this.#failed(attempt, cause),
      [Symbol.dispose]: () => {
        if (this.#probe === attempt) this.#probe = undefined;
      },
    };
    if (this.#state === 'half-open') {
      this.#probe = attempt;
      this.#probedAt = this.#options.now();
    }
    return attempt;
  }

  get #isProbed(): boolean {
    return this.#probe !== undefined && timeLeft(MAX_PROBE_MS, this.#probedAt, this.#options.now()) > 0;
  }

  get #leftMs(): number {
    return timeLeft(this.#openForMs, this.#openedAt, this.#options.now());
  }

  /** Of whomever: a host that answers what was asked before the circuit opened is one that answers. */
  #succeeded(): void {
    this.#failures = 0;
    this.#lastFailure = undefined;
    this.#probe = undefined;
    if (this.#state !== 'closed') this.#become('closed');
  }

  #failed(attempt: Attempt, cause: Error): void {
    // What was asked before the circuit opened fails for the same reason: it adds nothing, and must not end a probe.
    if (this.#state !== 'closed' && this.#probe !== attempt) return;
    const now = this.#options.now();
    if (this.#failures === 0) this.#failingSince = now;
    this.#failures += 1;
    this.#lastFailure = cause;
    if (this.#failures < FAILURES_TO_OPEN) return;
    const longest = Math.min(MIN_OPEN_MS * 2 ** (this.#failures - FAILURES_TO_OPEN), MAX_OPEN_MS);
    this.#openForMs = longest * (1 - JITTER * this.#options.random());
    this.#openedAt = now;
    this.#become('open');
  }

  #become(state: Circuit['state']): void {
    this.#state = state;
    const { host } = this;
    const why = { cause: this.#lastFailure, openForMs: this.#openForMs };
    this.#options.onChange({ host, state, ...(state === 'open' ? why : {}) });
  }
}
