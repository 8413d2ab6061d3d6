/** The composition root: every part is made and wired here, and only here. Read it first. */
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { boundInBytes, diskLimit, freeBytes } from './blobs/disk-limit.ts';
import type { Config, UpstreamConfig } from './config/config.ts';
import { adminAppOf, stateOf, type Shown } from './admin-front.ts';
import { openListener } from './front.ts';
import { startHousekeeping } from './housekeeping.ts';
import { ListeningServer } from './http/server.ts';
import { TlsFiles } from './http/tls-files.ts';
import { openWorkers } from './keeper.ts';
import { FairQueue } from './lib/fair-queue.ts';
import { AccessRecorder } from './metadata/access-recorder.ts';
import { ForgivingMetadataStore } from './metadata/forgiving-metadata-store.ts';
import { Observers } from './observers.ts';
import { asker } from './repository/ask.ts';
import { BlobLeases } from './repository/blob-leases.ts';
import { CacheSpace } from './repository/cache-space.ts';
import { Downloads } from './repository/downloads.ts';
import { Mirror, type MirrorPorts } from './repository/mirror.ts';
import { Repositories, type MirroredRegistry } from './repository/repositories.ts';
import { openStorage, type Storage } from './storage.ts';
import { Metrics } from './telemetry/metrics.ts';
import { UpstreamError, type Upstream } from './upstream/upstream.ts';
import { upstreamOf } from './upstreams.ts';

/** What a test may put in the place of the real thing. */
export interface AppOverrides {
  readonly now?: () => number;
  /** Between two tries. Resolves after that many milliseconds; rejects when the signal aborts. */
  readonly pause?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly upstream?: (config: UpstreamConfig) => Upstream;
  /** How often it is looked whether the TLS files have changed. */
  readonly tlsPollMs?: number;
}

export interface App {
  readonly registryUrl: string;
  readonly adminUrl: string;
  /** The bound as it is set, and what of it the disk has room for now. */
  readonly maxCacheBytes: number;
  readonly reachableCacheBytes: number;
  readonly usedCacheBytes: number;
  /** Resolves, with the reason, when it can't go on and has to be started anew. */
  readonly broken: Promise<Error>;
  /** Takes no new work, lets what runs finish within the grace time, and leaves nothing half-written. */
  close(): Promise<void>;
}

/** What of a core the listeners, the upstreams and the end of the process need. */
interface Core extends Shown {
  readonly abandoned: AbortController;
  readonly broken: Promise<Error>;
  readonly downloads: Downloads;
  readonly mirrorPorts: MirrorPorts;
  readonly onBroken: (reason: Error) => void;
}

/** @throws Error where the data directory, a TLS file or an address can't be used; nothing is left running then */
export async function startApp(
  config: Config,
  version: string,
  log: Logger,
  overrides: AppOverrides = {},
): Promise<App> {
  await using started = new AsyncDisposableStack();
  const now = overrides.now ?? Date.now;
  const core = await openCore({ config, version, log, now, pause: overrides.pause ?? pauseFor }, started);
  const { observers, offline } = core;
  const registries = config.upstreams.map((upstreamConfig): MirroredRegistry => {
    const options = { version, observers, now, offline, connect: overrides.upstream };
    const upstream = upstreamOf(config, upstreamConfig, options);
    started.defer(() => upstream.close());
    const { namespaces, isDockerHub } = upstreamConfig;
    return { mirror: new Mirror(core.mirrorPorts, upstream), namespaces, impliesLibrary: isDockerHub };
  });
  const repositories = new Repositories(registries as [MirroredRegistry, ...MirroredRegistry[]]);
  core.readUpstreams = () => registries.map(({ mirror: { upstream } }) => upstream);

  const tls = config.tls && (await loadTls(config.tls, log, overrides.tlsPollMs));
  const admin = await ListeningServer.listen(adminAppOf(core, config.dataDir), config.admin.listen, {
    maxConnections: MAX_ADMIN_CONNECTIONS,
  });
  started.defer(() => admin.close(AbortSignal.abort()));
  const { touch, leases } = core.mirrorPorts;
  const front = await (config.workers === 1 ? openListener : openWorkers)({
    ...{ config, version, log, now, repositories, observers, leases, tls, touch },
    onBroken: core.onBroken,
  });
  started.defer(() => front.close(0));
  core.front.current = front;

  const { used: usedCacheBytes, limit: reachableCacheBytes } = await core.space.usage();
  const maxCacheBytes = await boundInBytes(config.dataDir, config.cache.maxSize);
  const running = started.move();
  return {
    registryUrl: front.url,
    adminUrl: admin.url,
    ...{ maxCacheBytes, reachableCacheBytes, usedCacheBytes, broken: core.broken },
    close: async () => {
      const grace = AbortSignal.timeout(config.shutdownGraceMs);
      core.isStopping = true;
      // In this order: until the last request is over, another download may begin.
      await front.close(config.shutdownGraceMs);
      await core.downloads.close(grace);
      core.abandoned.abort(new UpstreamError('offline', 'the mirror is shutting down'));
      await running.disposeAsync();
    },
  };
}

const MAX_ADMIN_CONNECTIONS = 256;

interface CoreOptions extends Required<Pick<AppOverrides, 'now' | 'pause'>> {
  readonly config: Config;
  readonly version: string;
  readonly log: Logger;
}

const pauseFor = (ms: number, signal: AbortSignal): Promise<void> => setTimeout(ms, undefined, { signal });

/** All that lies behind the listeners and before the upstreams. What it opens, `started` closes, in reverse. */
async function openCore(options: CoreOptions, started: AsyncDisposableStack): Promise<Core> {
  const { config, version, log, now, pause } = options;
  const { dataDir, cache, tagTtlMs, tagStaleForMs } = config;
  /** Ends what nobody waits for any more. */
  const abandoned = new AbortController();
  const { promise: broken, resolve: onBroken } = Promise.withResolvers<Error>();
  const front: Core['front'] = { current: undefined };
  const metrics: Metrics = new Metrics(version, () => readState());
  started.defer(() => metrics.close());
  const observers = new Observers(log, metrics, now);
  const { storageFailed: onUnwritten } = observers;
  const storage = await openStorage({
    ...{ dataDir, memoryBytes: (cache.memoryBytes * 3) / 4, now, log, onUnwritten },
    sendfile: config.sendfile,
    onCorrupt: onBroken,
    onDropped: (key) => front.current?.drop(key),
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
      ...{ spool, blobs, metadata, space, places, pause },
      passingPlaces: new FairQueue(Math.ceil(config.downloads.maxConcurrent / 2)),
      whenAbandoned: config.downloads.whenAbandoned,
      observe: observers.download,
    },
    leases,
  );
  const housekeeping = startHousekeeping({ config, storage, space, observers, log, now });
  started.defer(() => housekeeping.close());

  const mirrorPorts: MirrorPorts = {
    ...{ blobs, leases, downloads, space, now, tagTtlMs, tagStaleForMs },
    metadata: new ForgivingMetadataStore(metadata, {
      onError: (_operation, error) => onIndexError(error),
      onSaved: () => observers.storage.succeeded('index'),
    }),
    ask: asker({ signal: abandoned.signal, pause, onRejected: observers.rejected }),
    touch: (digest) => used.record(digest),
    onLost: observers.blobLost,
    onUnreadable: (error) => observers.storageFailed('blobs', error),
    onFetched: observers.manifestFetched,
  };
  const core: Core = {
    ...{ abandoned, broken, front, downloads, metadata, metrics, mirrorPorts, observers, onBroken, space },
    isStopping: false,
    offline: { isOn: config.isOffline },
    readUpstreams: () => [],
  };
  const readState = () => stateOf({ ...core, places, spool, scrub: housekeeping.scrub });
  return core;
}

function openSpace(
  { config: { dataDir, cache } }: CoreOptions,
  { metadata, blobs, spool }: Storage,
  {
    leases,
    observers,
    used,
  }: { readonly leases: BlobLeases; readonly observers: Observers; readonly used: AccessRecorder },
): CacheSpace {
  return new CacheSpace({
    ...{ metadata, blobs, leases },
    lowWater: cache.lowWater,
    partials: { bytes: () => spool.partialBytes, drop: (bytes) => spool.dropPartials(bytes) },
    leased: () => leases.leased(),
    limit: (bytes) => diskLimit(dataDir, cache.maxSize, bytes + spool.bytes),
    freeBytes: () => freeBytes(dataDir),
    flushAccess: () => used.flush(),
    onEvicted: observers.evicted,
    onError: (error) => observers.storageFailed('index', error),
  });
}

function loadTls(
  files: { readonly certificate: string; readonly key: string },
  log: Logger,
  pollMs?: number,
): Promise<TlsFiles> {
  return TlsFiles.load({
    ...files,
    pollMs,
    onReload: (err) => {
      if (err) log.error({ err }, 'the changed TLS files can not be used; the old ones stay');
      else log.info('the TLS files changed and are in use');
    },
  });
}
