/**
 * What a mirror is without its listeners and its upstreams: what lies on disk, what is on its way there, the room for it,
 * and the work that comes round by itself. app.ts puts the rest around it.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { Traffic } from './admin/traffic.ts';
import { boundInBytes, diskLimit, diskOf, freeBytes } from './blobs/disk-limit.ts';
import type { Config } from './config/config.ts';
import type { Front } from './front.ts';
import { startHousekeeping, type Housekeeping } from './housekeeping.ts';
import { FairQueue } from './lib/fair-queue.ts';
import { AccessRecorder } from './metadata/access-recorder.ts';
import { ForgivingMetadataStore } from './metadata/forgiving-metadata-store.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import { Observers } from './observers.ts';
import { asker } from './repository/ask.ts';
import { BlobLeases } from './repository/blob-leases.ts';
import { CacheSpace } from './repository/cache-space.ts';
import { Downloads } from './repository/downloads.ts';
import type { MirrorPorts } from './repository/mirror.ts';
import { openStorage, type Storage } from './storage.ts';
import type { State } from './telemetry/metrics-state.ts';
import { Metrics } from './telemetry/metrics.ts';
import type { Upstream } from './upstream/upstream.ts';

export interface CoreOptions {
  readonly config: Config;
  readonly version: string;
  readonly log: Logger;
  readonly now: () => number;
  /** Resolves after that many milliseconds; rejects when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
}

export interface Core extends CoreOptions {
  /** Another one after each start. */
  readonly instance: string;
  readonly startedAt: number;
  /** Ends what nobody waits for any more. */
  readonly abandoned: AbortController;
  /** Resolves, with the reason that `onBroken` is told, when it can't go on. */
  readonly broken: Promise<Error>;
  readonly onBroken: (reason: Error) => void;
  readonly storage: Storage;
  readonly space: CacheSpace;
  readonly downloads: Downloads;
  /** Those of downloads. */
  readonly places: FairQueue;
  readonly mirrorPorts: MirrorPorts;
  readonly observers: Observers;
  readonly metrics: Metrics;
  readonly traffic: Traffic;
  readonly housekeeping: Housekeeping;
  readonly surroundings: Surroundings;
}

/** What is put around the core after it is made, and what changes while it runs. */
export interface Surroundings {
  /** None before there is something to answer with. */
  front: Front | undefined;
  upstreams: readonly Upstream[];
  readonly offline: { isOn: boolean };
  isStopping: boolean;
}

/** What it opens, `started` closes, in reverse. */
export async function openCore(options: CoreOptions, started: AsyncDisposableStack): Promise<Core> {
  const { config, version, log, now, pause } = options;
  const { dataDir, cache } = config;
  const startedAt = now();
  const abandoned = new AbortController();
  const { promise: broken, resolve: onBroken } = Promise.withResolvers<Error>();
  const surroundings: Surroundings = {
    ...{ front: undefined, upstreams: [], offline: { isOn: config.isOffline }, isStopping: false },
  };
  const metrics: Metrics = new Metrics(version, () => stateOf(core));
  metrics.readInFlight = () => surroundings.front?.inFlight ?? 0;
  started.defer(() => metrics.close());
  const observers = new Observers(log, metrics, now);
  const { storageFailed: onUnwritten } = observers;
  const storage = await openStorage({
    ...{ dataDir, memoryBytes: (cache.memoryBytes * 3) / 4, now, log, onUnwritten },
    sendfile: config.sendfile,
    onCorrupt: onBroken,
    onDropped: (key) => surroundings.front?.drop(key),
  });
  started.defer(() => storage.close());
  const { blobs, metadata, spool } = storage;
  const onIndexError = (error: unknown) => observers.storageFailed('index', error);
  const used = new AccessRecorder(metadata, { clock: now, onError: onIndexError });
  started.defer(() => used.close().catch(onIndexError));
  const leases = new BlobLeases();
  const space = openSpace(options, storage, { leases, observers, used });
  const places = new FairQueue(config.downloads.maxConcurrent);
  const downloads = new Downloads(
    {
      ...{ spool, blobs, metadata, space, places, pause, now },
      passingPlaces: new FairQueue(Math.ceil(config.downloads.maxConcurrent / 2)),
      whenAbandoned: config.downloads.whenAbandoned,
      observe: observers.download,
    },
    leases,
  );
  const traffic = new Traffic({
    count: async () => metrics.traffic(await surroundings.front?.snapshots()),
    ...{ history: storage.history, now, startedAt, onError: onIndexError },
  });
  const housekeeping = startHousekeeping({ config, storage, space, observers, traffic, log, now });
  started.defer(() => housekeeping.close());
  const mirrorPorts: MirrorPorts = {
    ...{ blobs, leases, downloads, space, now },
    ...{ tagTtlMs: config.tagTtlMs, tagStaleForMs: config.tagStaleForMs },
    ask: asker({ signal: abandoned.signal, pause, onRejected: observers.rejected }),
    touch: (digest) => used.record(digest),
    ...forgiving(metadata, observers),
  };
  const core: Core = {
    ...{ ...options, instance: randomUUID(), startedAt, abandoned, broken, onBroken },
    ...{ storage, space, downloads, places, mirrorPorts },
    ...{ observers, metrics, traffic, housekeeping, surroundings },
  };
  return core;
}

/** What pulls see of the disk: none fails by it, and `observers` hear of what it can't do. */
function forgiving(
  metadata: MetadataStore,
  { storage, storageFailed, blobLost, manifestFetched }: Observers,
): Pick<MirrorPorts, 'metadata' | 'onLost' | 'onUnreadable' | 'onFetched'> {
  return {
    metadata: new ForgivingMetadataStore(metadata, {
      onError: (_operation, error) => storageFailed('index', error),
      onSaved: () => storage.succeeded('index'),
    }),
    onLost: blobLost,
    onUnreadable: (error) => storageFailed('blobs', error),
    onFetched: manifestFetched,
  };
}

interface SpaceParts {
  readonly leases: BlobLeases;
  readonly observers: Observers;
  readonly used: AccessRecorder;
}

function openSpace(
  { config: { dataDir, cache } }: CoreOptions,
  { metadata, blobs, spool }: Storage,
  { leases, observers, used }: SpaceParts,
): CacheSpace {
  return new CacheSpace({
    ...{ metadata, blobs, leases },
    lowWater: cache.lowWater,
    partials: { bytes: () => spool.partialBytes, drop: (bytes) => spool.dropPartials(bytes) },
    leased: () => leases.leased(),
    limit: (bytes) => diskLimit(dataDir, cache.maxSize, bytes + spool.bytes),
    freeBytes: () => freeBytes(dataDir),
    flushAccess: () => used.flush(),
    pinned: () => metadata.pinnedContent(),
    touch: (digest) => used.record(digest),
    onEvicted: observers.evicted,
    onError: (error) => observers.storageFailed('index', error),
  });
}

/** What is read when somebody scrapes. What can't be read now is no number. */
async function stateOf(core: Core): Promise<State> {
  const { config, storage, space, places, observers, housekeeping, surroundings } = core;
  const { front, upstreams, offline } = surroundings;
  const { intervalMs, bytesPerSecond } = config.scrub;
  return {
    ...(await storage.metadata.totals().catch(() => ({ blobs: NaN, manifests: NaN }))),
    ...(await space.usage().catch(() => ({ used: NaN, limit: NaN }))),
    maxBytes: await boundInBytes(config.dataDir, config.cache.maxSize).catch(() => NaN),
    disk: await diskOf(config.dataDir).catch(() => ({ freeBytes: NaN, sizeBytes: NaN })),
    pinnedBytes: await space.pinnedBytes().catch(() => NaN),
    ...{ downloads: places.taken, waiting: places.waiting },
    ...{ partialBytes: storage.spool.partialBytes, storage: observers.storage.parts },
    ...{ upstreams, isOffline: offline.isOn },
    scrub: {
      ...(await housekeeping.scrub.progress()),
      intervalSeconds: bytesPerSecond > 0 ? intervalMs / 1000 : undefined,
    },
    workers: front?.running ?? 0,
  };
}
