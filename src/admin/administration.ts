/** The port to what whoever runs the mirror can see and do. All that goes in is text from outside; out goes plain data. */
import type {
  ClientView,
  DownloadView,
  HistoryView,
  JobView,
  ManifestSummaryView,
  ManifestView,
  Page,
  PinView,
  PurgeView,
  RepositoryView,
  StateView,
  TagView,
  TroubleView,
} from './views.ts';

/**
 * Why something can't be done:
 * - `invalid`: what was asked for makes no sense, such as a reference that is none
 * - `unknown`: there is no such thing here
 * - `conflict`: not while something else is as it is, such as a scrub that runs
 */
export class AdminError extends Error {
  readonly kind: 'invalid' | 'unknown' | 'conflict';

  constructor(kind: AdminError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AdminError';
    this.kind = kind;
  }
}

export interface PageRequest {
  /** The `next` of the page before; the first page without it. */
  readonly after?: string | undefined;
  /** 1 to 1000. */
  readonly limit: number;
}

/** What it is doing. */
export interface Overview {
  state(): Promise<StateView>;
  /** Of the time from then until now, in steps of about that length at least. @param from milliseconds since the epoch */
  history(from: number, stepSeconds: number): Promise<HistoryView>;
  /** The last ones first; some hundred at most. */
  troubles(): readonly TroubleView[];
  clients(): readonly ClientView[];
  downloads(): readonly DownloadView[];
}

/** What it has. Every method throws AdminError. */
export interface Catalog {
  /** In lexical order. @param search a part of the name */
  listRepositories(
    page: PageRequest & { readonly search?: string | undefined },
  ): Promise<Page<RepositoryView>>;
  listTags(repository: string, page: PageRequest): Promise<Page<TagView>>;
  /** In order of their digests. */
  listManifests(repository: string, page: PageRequest): Promise<Page<ManifestSummaryView>>;
  /** @param reference as docker takes it: `alpine`, `alpine:3`, `ghcr.io/owner/name@sha256:...` */
  manifest(reference: string): Promise<ManifestView>;
}

export type PurgeRequest =
  { readonly reference: string } | { readonly repository: string } | { readonly everything: true };

/** Of one request. */
export const PREFETCH_LIMITS = { references: 256, platforms: 32 } as const;

export interface PrefetchRequest {
  readonly references: readonly string[];
  /** Such as `linux/amd64`; all of them where none are given. */
  readonly platforms: readonly string[];
}

/** What can be done about it. Every method throws AdminError. */
export interface Actions {
  /** Resolves when it is gone. What is pinned goes too: the pin stays, for what comes next. */
  purge(request: PurgeRequest): Promise<PurgeView>;
  listPins(page: PageRequest): Promise<Page<PinView>>;
  /** Never evicted from now on, whether it is here or not; a tag's pin follows the tag. Resolves to the pin, new or old. */
  pin(reference: string): Promise<PinView>;
  unpin(reference: string): Promise<void>;
  /** The jobs below run on when this returns. */
  prefetch(request: PrefetchRequest): JobView;
  /** @param bytes how many should go at least; without them, down to the low-water mark of the bound */
  evict(bytes: number | undefined): JobView;
  scrub(): JobView;
  /** Looks through the whole index for corruption. */
  check(): JobView;
  /** Those that run, and the last of those that ended; the newest first. */
  jobs(): readonly JobView[];
  job(id: string): JobView;
  /** What has been done stays done. */
  cancel(id: string): JobView;
  /** Until it is switched back or the process ends. */
  setOffline(isOffline: boolean): void;
}

export interface Administration {
  readonly overview: Overview;
  readonly catalog: Catalog;
  readonly actions: Actions;
}
