/** What the process was told to do, checked and frozen. load-config.ts makes it; nobody else reads the environment. */
import type { Secret } from '../lib/secret.ts';

export interface ListenAddress {
  /** Without brackets. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface TlsConfig {
  /** Absolute paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
}

/** A file was readable at the start, and is to be read whenever the secret is needed: it may change. */
export type SecretOrFile = Secret | { readonly file: string };

export type UpstreamCredentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: SecretOrFile }
  | { readonly kind: 'token'; readonly token: SecretOrFile };

export interface UpstreamConfig {
  /** For keys, logs and metrics: `docker.io`, or the URL's `host[:port][/path]`. Unique, and the same after a restart. */
  readonly name: string;
  /** Without a slash at its end, and without `/v2`. */
  readonly url: string;
  /** Docker Hub implies `library/` before names of one component. */
  readonly isDockerHub: boolean;
  /** The registry names that it answers for, in `?ns=` and as a path prefix; in no other upstream's list. */
  readonly namespaces: readonly string[];
  readonly credentials: UpstreamCredentials | undefined;
  /** Hosts, besides its own and those below its domain, that may act as its token service. */
  readonly realms: readonly string[];
  /** Hosts that its redirects may lead to although their addresses are private. */
  readonly redirects: readonly string[];
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** The longest silence within a body. */
  readonly bodyTimeoutMs: number;
}

/** How much disk the cache may fill: `share` is a fraction (0 to 1) of the file system that it lies on. */
export type CacheBound =
  { readonly kind: 'bytes'; readonly bytes: number } | { readonly kind: 'share'; readonly share: number };

/** What becomes of a download whose last client has left. */
export const WHEN_ABANDONED = ['finish', 'stop'] as const;
export type WhenAbandoned = (typeof WHEN_ABANDONED)[number];

/** How blobs leave where the system can send a file by itself: `auto` has it do so. */
export const SENDFILE_MODES = ['auto', 'always', 'off'] as const;
export type SendfileMode = (typeof SENDFILE_MODES)[number];

/** The header by which a web server in front is told to send a file itself; `off` tells none. */
export const ACCEL_HEADERS = ['off', 'x-accel-redirect', 'x-sendfile'] as const;
export type AccelHeader = (typeof ACCEL_HEADERS)[number];

export interface AccelConfig {
  readonly header: Exclude<AccelHeader, 'off'>;
  /** Of the location of that server that leads to the blobs' files; begins and ends with a slash. */
  readonly prefix: string;
  /** Smaller blobs are sent by us: bytes. */
  readonly minBytes: number;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Config {
  readonly listen: ListenAddress;
  readonly admin: {
    readonly listen: ListenAddress;
    /** What wants to change something has to show it, wherever there is one. */
    readonly token: SecretOrFile | undefined;
  };
  readonly tls: TlsConfig | undefined;
  /** Absolute. */
  readonly dataDir: string;
  /** The first is the default: it answers where a request names no registry. */
  readonly upstreams: readonly [UpstreamConfig, ...UpstreamConfig[]];
  readonly cache: {
    readonly maxSize: CacheBound;
    /** The fraction (0 to 1) of the bound that eviction goes down to. */
    readonly lowWater: number;
    /** Of manifests and small blobs kept in memory. */
    readonly memoryBytes: number;
  };
  /** How long a tag is served without asking upstream; 0 asks always. */
  readonly tagTtlMs: number;
  /** Since upstream last confirmed it, while upstream can't be asked. */
  readonly tagStaleForMs: number;
  /** How long it is remembered that upstream does not have something; 0 is not at all. */
  readonly missTtlMs: number;
  readonly isOffline: boolean;
  readonly downloads: {
    readonly maxConcurrent: number;
    readonly whenAbandoned: WhenAbandoned;
    readonly keepPartialMs: number;
  };
  readonly scrub: {
    readonly intervalMs: number;
    /** 0 is off. */
    readonly bytesPerSecond: number;
  };
  readonly clients: {
    readonly maxConnections: number;
    readonly timeoutMs: number;
  };
  /** Processes that answer clients; 1 is this one alone. */
  readonly workers: number;
  readonly sendfile: SendfileMode;
  readonly accel: AccelConfig | undefined;
  readonly log: { readonly level: LogLevel };
  readonly shutdownGraceMs: number;
}

/** Names every mistake at once, one a line. */
export class ConfigError extends Error {
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[], options?: ErrorOptions) {
    const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
    super(`The configuration has ${count}:\n${mistakes.map((text) => `  - ${text}`).join('\n')}`, options);
    this.name = 'ConfigError';
    this.mistakes = mistakes;
  }
}

/** As it would be written in the configuration. */
export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
