/**
 * What the admin API answers, as plain data: the words that the server, the command line and the web page share.
 * docs/admin-api.yaml describes the same. Times are ISO 8601 in UTC, sizes are bytes, and a repository's name is the one
 * by which it is pulled from here: `library/alpine`, or `ghcr.io/owner/name` where it is not of the default upstream.
 */

/** `next`, where there is more, is what to give as `after`. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

/** What may be done without a token, so that a page or a command knows before it tries. */
export interface AccessView {
  readonly reads: 'open' | 'token';
  /** `refused`: the listener is not on loopback, and no token is configured. */
  readonly changes: 'open' | 'token' | 'refused';
}

export interface StateView {
  /** Another one after each start; the registry says it too, in `X-Entrepot-Instance` of its answer to `/v2/`. */
  readonly instance: string;
  readonly version: string;
  readonly startedAt: string;
  readonly now: string;
  /** Where the registry listens, which need not be where clients reach it. */
  readonly registryUrl: string;
  readonly health: HealthView;
  readonly isOffline: boolean;
  readonly cache: CacheView;
  /** Since the start, and since the first start whose history is kept. */
  readonly traffic: { readonly sinceStart: TrafficView; readonly recorded: TrafficView };
  readonly downloads: { readonly running: number; readonly queued: number };
  readonly upstreams: readonly UpstreamView[];
  readonly scrub: ScrubView;
  /** Processes that answer beside the first; 0 where it does so itself. */
  readonly workers: number;
}

export interface HealthView {
  /** As `/readyz` says it. */
  readonly status: 'ok' | 'degraded' | 'not ready';
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

export interface CacheView {
  readonly bytes: number;
  /** As it is set, and what of it the disk has room for now. */
  readonly maxBytes: number;
  readonly reachableBytes: number;
  readonly blobs: number;
  readonly manifests: number;
  /** Of half-downloaded blobs; part of `bytes`. */
  readonly partialBytes: number;
  /** Of what is pinned and here; part of `bytes`. */
  readonly pinnedBytes: number;
  readonly diskFreeBytes: number;
}

/** Of manifests and blobs; what else is asked for costs nobody anything. */
export interface TrafficView {
  readonly since: string;
  readonly requests: number;
  /** Served from the cache. */
  readonly hits: number;
  readonly servedBytes: number;
  /** Served from the cache. */
  readonly hitBytes: number;
  readonly fetchedBytes: number;
  /** Served without being fetched: `servedBytes - fetchedBytes`, and not below 0. */
  readonly savedBytes: number;
}

export interface UpstreamView {
  readonly name: string;
  readonly url: string;
  /** The registry names that it answers for. */
  readonly namespaces: readonly string[];
  readonly isDefault: boolean;
  readonly account: 'anonymous' | 'password' | 'token';
  readonly rateLimit?: RateLimitView;
  /** Of the hosts that were asked lately, its CDN's among them. */
  readonly hosts: readonly { readonly host: string; readonly circuit: 'closed' | 'half-open' | 'open' }[];
}

/** What upstream's headers said last. */
export interface RateLimitView {
  readonly limit?: number;
  readonly remaining?: number;
  readonly windowSeconds?: number;
  readonly seenAt: string;
}

export interface ScrubView {
  readonly isRunning: boolean;
  readonly scannedBlobs: number;
  readonly scannedBytes: number;
  readonly corruptBlobs: number;
  readonly lastCompletedAt?: string;
}

/** What was asked and served within `stepSeconds` of each point; without a point, nothing was. */
export interface HistoryView {
  readonly stepSeconds: number;
  readonly points: readonly HistoryPoint[];
}

export interface HistoryPoint {
  readonly at: string;
  readonly requests: number;
  readonly hits: number;
  readonly servedBytes: number;
  readonly hitBytes: number;
  readonly fetchedBytes: number;
}

/** A line of the log at `warn` or above, without what is secret. */
export interface TroubleView {
  readonly at: string;
  readonly level: 'warn' | 'error' | 'fatal';
  readonly message: string;
  /** Why, where the line says so. */
  readonly reason?: string;
  readonly requestId?: string;
}

/** Who has asked the registry for something, by address and User-Agent; the last one first. */
export interface ClientView {
  readonly address: string;
  readonly userAgent: string;
  readonly requests: number;
  readonly lastSeenAt: string;
}

/** A blob on its way in. */
export interface DownloadView {
  readonly digest: string;
  readonly upstream: string;
  readonly repository: string;
  readonly state: 'queued' | 'running' | 'storing';
  readonly bytes: number;
  /** Absent until upstream has said so. */
  readonly size?: number;
  readonly startedAt: string;
  /** That wait for it or read it now. */
  readonly clients: number;
}

export interface RepositoryView {
  readonly repository: string;
  readonly upstream: string;
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Of the manifests and blobs that it holds. */
  readonly bytes: number;
  /** Of those that another repository holds as well. */
  readonly sharedBytes: number;
  readonly lastUsedAt?: string;
}

export interface TagView {
  readonly tag: string;
  readonly digest: string;
  readonly mediaType: string;
  /** When upstream last said that it points there. */
  readonly checkedAt: string;
  /** The manifest is here, and not only known of. */
  readonly isHeld: boolean;
  /** Of the manifest and all that it needs, as far as it is here. */
  readonly bytes: number;
  /** Such as `linux/amd64` and `linux/arm/v7`; of an index, those whose manifests are here. */
  readonly platforms: readonly string[];
  readonly isPinned: boolean;
  readonly lastUsedAt?: string;
}

/** A manifest as one of its repository's list. */
export interface ManifestSummaryView {
  readonly digest: string;
  readonly mediaType: string;
  /** Of the manifest itself. */
  readonly size: number;
  readonly tags: readonly string[];
  readonly lastUsedAt: string;
}

export interface ManifestView extends ManifestSummaryView {
  readonly repository: string;
  readonly upstream: string;
  readonly platform?: string;
  /** The digest of the manifest that this one is about, such as the image that it signs. */
  readonly subject?: string;
  /** Of an index. */
  readonly manifests: readonly (ContentView & { readonly platform?: string })[];
  readonly config?: ContentView;
  readonly layers: readonly ContentView[];
  readonly isPinned: boolean;
}

/** What a manifest points to. */
export interface ContentView {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly isHeld: boolean;
  /** How many repositories hold it. */
  readonly repositories: number;
}

/** What went. */
export interface PurgeView {
  readonly freedBytes: number;
  readonly tags: number;
  readonly manifests: number;
  readonly blobs: number;
  /** Blobs that somebody is reading: they stay until they are evicted, and are served to nobody else. */
  readonly inUse: { readonly blobs: number; readonly bytes: number };
}

export interface PinView {
  /** As it can be pulled from here: `library/alpine:3`. */
  readonly reference: string;
  readonly upstream: string;
  /** Of what it stands for and is here. */
  readonly bytes: number;
  readonly isHeld: boolean;
}

export type JobKind = 'prefetch' | 'evict' | 'scrub' | 'check' | 'purge';

export interface JobView {
  readonly id: string;
  readonly kind: JobKind;
  readonly state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  readonly startedAt: string;
  readonly endedAt?: string;
  /** Why, where it failed. */
  readonly error?: string;
  /** Of those kinds alone. */
  readonly prefetch?: readonly PrefetchView[];
  readonly evict?: { readonly freedBytes: number; readonly blobs: number; readonly manifests: number };
  readonly scrub?: ScrubView;
  readonly purge?: PurgeView;
}

/** One of the references that a job fetches. */
export interface PrefetchView {
  readonly reference: string;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  readonly error?: string;
  /** Of the reference itself, once it is known. */
  readonly digest?: string;
  /**
   * In the order in which they are wanted; grows while the manifests come in. A list of jobs with thousands of them has
   * those alone that are of a reference being fetched.
   */
  readonly blobs: readonly PrefetchBlobView[];
}

export interface PrefetchBlobView {
  readonly digest: string;
  readonly platform?: string;
  readonly size: number;
  readonly bytes: number;
  /** `present`: it was here before. `uncached`: it came, and there was no room to keep it. */
  readonly state: 'waiting' | 'running' | 'done' | 'present' | 'uncached' | 'failed';
}

/** What the event stream sends, by the name of the event; each is sent when it has changed. */
export interface Events {
  readonly state: StateView;
  readonly downloads: readonly DownloadView[];
  /** Those that run, and of those that ended the last five. */
  readonly jobs: readonly JobView[];
  readonly troubles: readonly TroubleView[];
}

/** Of every answer that is none of those above. */
export interface ErrorView {
  readonly error: string;
}
