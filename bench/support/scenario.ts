/** The words that the parts of the benchmark share: who is measured, what is measured, and one measurement. */

/** Who answers. `direct` is the upstream itself, for scenarios that ask what a mirror costs. */
export type PeerName =
  'entrepot' | 'entrepot-portable' | 'entrepot-workers' | 'distribution' | 'nginx' | 'nginx-lock' | 'direct';

export interface Tls {
  readonly certificate: string;
  readonly key: string;
}

export interface Setup {
  readonly upstreamUrl: string;
  /** Fresh and empty. */
  readonly directory: string;
  readonly tls?: Tls;
}

/** A server that answers; disposing of it ends all its processes. */
export interface Running extends AsyncDisposable {
  readonly url: string;
  /** Of every process of it, children too. */
  pids(): readonly number[];
}

export interface Peer {
  readonly name: PeerName;
  readonly version: string;
  start(setup: Setup): Promise<Running>;
}

/** One measured run. */
export interface Sample {
  readonly scenario: string;
  readonly case: string;
  readonly peer: PeerName;
  readonly wallSeconds: number;
  /** Of the server's processes. */
  readonly cpuSeconds: number;
  readonly bytes?: number;
  readonly requests?: number;
  readonly errors: number;
  /** What the first of them was. */
  readonly firstError?: string;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  readonly firstByteMs?: { readonly min: number; readonly median: number; readonly max: number };
  readonly peakRssBytes?: number;
  readonly upstreamRequests?: number;
  readonly upstreamBytes?: number;
}

/** What is read off a sample; report/measures.ts says how. */
export type MeasureName =
  | 'throughput'
  | 'requestRate'
  | 'wall'
  | 'firstByteMin'
  | 'firstByte'
  | 'firstByteMax'
  | 'p50'
  | 'p99'
  | 'cpu'
  | 'cpuPerGiB'
  | 'cpuPerRequest'
  | 'peakRss'
  | 'upstreamRequests'
  | 'upstreamBytes';

export interface Options {
  /** The smoke test of CI: small sizes, one round, all scenarios. */
  readonly isShort: boolean;
  readonly rounds: number;
  readonly only?: readonly string[];
  /** Whom to measure, in this order; without it the usual three. */
  readonly peers?: readonly PeerName[];
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** The columns of its table, of which the first is drawn; without it all that its samples have. */
  readonly measures?: readonly MeasureName[];
  run(options: Options, record: (sample: Sample) => void): Promise<void>;
}
