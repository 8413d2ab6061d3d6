/** What can be done about the cache by hand: letting go, keeping, fetching beforehand, and the work that runs as a job. */
import type { ScrubProgress } from '../jobs/scrub.ts';
import { FairQueue } from '../lib/fair-queue.ts';
import type { CatalogStore } from '../metadata/catalog-store.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import { formatReference } from '../oci/reference.ts';
import { parsePlatform, type Platform } from '../oci/platform.ts';
import type { CacheSpace, EvictionReport } from '../repository/cache-space.ts';
import type { Downloads } from '../repository/downloads.ts';
import type { Repository } from '../repository/repository.ts';
import { AdminError, PREFETCH_LIMITS, type Actions, type PageRequest } from './administration.ts';
import type { PrefetchRequest, PurgeRequest } from './administration.ts';
import { asListed } from './job-list.ts';
import { JobTable, type JobTableOptions } from './jobs.ts';
import type { ImageNames } from './names.ts';
import { scrubView } from './overview.ts';
import { findStrayPin, listPins, pinsOf, pinView } from './pins.ts';
import { Prefetch, type PrefetchWish } from './prefetch.ts';
import { NOTHING_PURGED, purgeEverything, purgeRepository } from './purge.ts';
import type { JobView, Page, PinView, PurgeView } from './views.ts';

export interface MirrorActionsOptions extends JobTableOptions {
  readonly names: ImageNames;
  readonly metadata: Pick<MetadataStore, 'purge' | 'pin' | 'unpin' | 'findBlob'>;
  readonly catalog: Pick<CatalogStore, 'listRepositories' | 'listPins'>;
  readonly space: Pick<CacheSpace, 'evictNow' | 'remove' | 'clear' | 'settled'>;
  readonly downloads: Pick<Downloads, 'find'>;
  readonly repositoryOf: (key: RepositoryKey) => Repository;
  readonly runScrub: (signal: AbortSignal) => Promise<void>;
  readonly scrubProgress: () => Promise<ScrubProgress>;
  readonly runCheck: (signal: AbortSignal) => Promise<void>;
  readonly offline: { isOn: boolean };
  readonly onPurged?: (request: PurgeRequest, purged: PurgeView) => void;
  readonly onOffline?: (isOffline: boolean) => void;
  /** Told of a pin that is new, and of one that is gone. */
  readonly onPin?: (reference: string, isPinned: boolean) => void;
}

/** Of all prefetches: few enough that clients do not notice, and enough to fill most lines. */
const PREFETCHES_AT_ONCE = 3;

export class MirrorActions implements Actions {
  readonly #options: MirrorActionsOptions;
  readonly #jobs: JobTable;
  readonly #prefetchPlaces = new FairQueue(PREFETCHES_AT_ONCE);

  constructor(options: MirrorActionsOptions) {
    this.#options = options;
    this.#jobs = new JobTable(options);
  }

  async purge(request: PurgeRequest): Promise<PurgeView> {
    const { names, onPurged } = this.#options;
    if ('everything' in request) return this.#purgeEverything(request);
    const { repository, reference } =
      'reference' in request
        ? names.parse(request.reference)
        : { repository: names.parseRepository(request.repository), reference: 'all' as const };
    const purged = await purgeRepository(this.#options, repository, reference);
    if (!purged) {
      const name =
        reference === 'all' ? names.format(repository) : names.formatReference(repository, reference);
      throw new AdminError('unknown', `nothing of ${name} is cached`);
    }
    onPurged?.(request, purged);
    return purged;
  }

  listPins(page: PageRequest): Promise<Page<PinView>> {
    return listPins(this.#options, page);
  }

  async pin(text: string): Promise<PinView> {
    const { names, metadata, catalog, space, onPin } = this.#options;
    const { repository, reference } = names.parse(text);
    const isNew = await metadata.pin(repository, reference);
    // An eviction that is under way may still take it.
    await space.settled();
    if (isNew) onPin?.(names.formatReference(repository, reference), true);
    const pin = (await pinsOf(catalog, repository)).get(formatReference(reference));
    // Somebody may have taken it away in between.
    return pinView(names, pin ?? { repository, reference, bytes: 0, isHeld: false });
  }

  async unpin(text: string): Promise<void> {
    const { names, metadata, onPin } = this.#options;
    const { repository, reference } = (await findStrayPin(this.#options, text)) ?? names.parse(text);
    const name = names.formatReference(repository, reference);
    if (!(await metadata.unpin(repository, reference))) {
      throw new AdminError('unknown', `${name} is not pinned`);
    }
    onPin?.(name, false);
  }

  prefetch({ references, platforms }: PrefetchRequest): JobView {
    if (references.length === 0) throw new AdminError('invalid', 'there is no reference to fetch');
    if (references.length > PREFETCH_LIMITS.references) {
      throw new AdminError(
        'invalid',
        `${references.length} references are too many for one job: ${PREFETCH_LIMITS.references} at most`,
      );
    }
    const order = { references: this.#wishesOf(references), platforms: platformsOf(platforms) };
    const ports = { ...this.#options, places: this.#prefetchPlaces };
    const prefetch = new Prefetch(ports, order);
    return this.#jobs.start({
      kind: 'prefetch',
      details: () => ({ prefetch: prefetch.view }),
      run: (signal) => prefetch.run(signal),
    }).view;
  }

  evict(bytes: number | undefined): JobView {
    if (bytes !== undefined && !(Number.isSafeInteger(bytes) && bytes > 0)) {
      throw new AdminError('invalid', 'what is to be evicted is a whole number of bytes above 0');
    }
    let soFar: EvictionReport = { blobs: 0, manifests: 0, bytes: 0 };
    const note = (report: EvictionReport) => void (soFar = report);
    return this.#jobs.start({
      kind: 'evict',
      details: () => ({
        evict: { freedBytes: soFar.bytes, blobs: soFar.blobs, manifests: soFar.manifests },
      }),
      run: async (signal) => note(await this.#options.space.evictNow(bytes, signal, note)),
    }).view;
  }

  scrub(): JobView {
    const { runScrub, scrubProgress } = this.#options;
    let progress: ScrubProgress | undefined;
    let isEnded = false;
    const look = async () => {
      const seen = await scrubProgress();
      if (!isEnded) progress = seen;
    };
    const details = () => {
      // Shown is what was seen at the last look; a look that fails says nothing new.
      if (!isEnded) look().catch(() => undefined);
      return progress ? { scrub: scrubView(progress) } : {};
    };
    const run = async (signal: AbortSignal) => {
      try {
        await runScrub(signal);
      } finally {
        progress = await scrubProgress().catch(() => progress);
        isEnded = true;
      }
    };
    return this.#jobs.start({ kind: 'scrub', details, run }).view;
  }

  check(): JobView {
    const run = (signal: AbortSignal) => this.#options.runCheck(signal);
    return this.#jobs.start({ kind: 'check', details: () => ({}), run }).view;
  }

  jobs(): readonly JobView[] {
    return asListed(this.#jobs.list());
  }

  job(id: string): JobView {
    return this.#jobs.get(id);
  }

  cancel(id: string): JobView {
    return this.#jobs.cancel(id);
  }

  setOffline(isOffline: boolean): void {
    const { offline, onOffline } = this.#options;
    if (offline.isOn === isOffline) return;
    offline.isOn = isOffline;
    onOffline?.(isOffline);
  }

  /** Ends the jobs; resolves when none runs. */
  close(): Promise<void> {
    return this.#jobs.close();
  }

  async #purgeEverything(request: PurgeRequest): Promise<PurgeView> {
    const { names, onPurged } = this.#options;
    let soFar = NOTHING_PURGED;
    const note = (purged: PurgeView) => void (soFar = purged);
    const job = this.#jobs.start({
      kind: 'purge',
      details: () => ({ purge: soFar }),
      run: (signal) => purgeEverything(this.#options, names.upstreams, signal, note),
    });
    try {
      await job.done;
    } finally {
      onPurged?.(request, soFar);
    }
    return soFar;
  }

  /** Each of them once, however it is written. */
  #wishesOf(references: readonly string[]): readonly PrefetchWish[] {
    const { names } = this.#options;
    const wishes = references.map((reference): [string, PrefetchWish] => {
      const name = names.parse(reference);
      const text = names.formatReference(name.repository, name.reference);
      return [text, { ...name, text }];
    });
    return [...new Map(wishes).values()];
  }
}

function platformsOf(texts: readonly string[]): readonly Platform[] {
  if (texts.length > PREFETCH_LIMITS.platforms) {
    throw new AdminError(
      'invalid',
      `${texts.length} platforms are too many: ${PREFETCH_LIMITS.platforms} at most`,
    );
  }
  return texts.map((text) => {
    const platform = parsePlatform(text);
    if (platform) return platform;
    throw new AdminError(
      'invalid',
      `${JSON.stringify(text.slice(0, 100))} is no platform, such as linux/amd64 or linux/arm/v7`,
    );
  });
}
