/** The composition root: every part is made and wired here, and only here. Read it first. */
import { access, constants } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { boundInBytes, diskLimit } from './blobs/disk-limit.ts';
import type { Config, UpstreamConfig } from './config/config.ts';
import { createAdminApp } from './http/admin.ts';
import { createRegistryApp } from './http/router.ts';
import { ListeningServer } from './http/server.ts';
import { TlsFiles } from './http/tls-files.ts';
import { JobRunner } from './jobs/job-runner.ts';
import { AccessRecorder } from './metadata/access-recorder.ts';
import { Observers } from './observers.ts';
import { BlobLeases } from './repository/blob-leases.ts';
import { CacheSpace } from './repository/cache-space.ts';
import { Downloads } from './repository/downloads.ts';
import { Mirror, type MirrorPorts } from './repository/mirror.ts';
import { Repositories, type MirroredRegistry } from './repository/repositories.ts';
import { openStorage, type Storage } from './storage.ts';
import { Metrics, type CacheState } from './telemetry/metrics.ts';
import { credentialsFrom } from './upstream/credentials.ts';
import { RegistryUpstream } from './upstream/registry-upstream.ts';
import { UpstreamError, type Upstream } from './upstream/upstream.ts';

/** What a test may put in the place of the real thing. */
export interface AppOverrides {
  readonly now?: () => number;
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
  /** Takes no new work, lets what runs finish within the grace time, and leaves nothing half-written. */
  close(): Promise<void>;
}

const TRIM_INTERVAL_MS = 60_000;

/** @throws Error where the data directory, a TLS file or an address can't be used; nothing is left running then */
export async function startApp(
  config: Config,
  version: string,
  log: Logger,
  overrides: AppOverrides = {},
): Promise<App> {
  await using started = new AsyncDisposableStack();
  const core = await openCore(config, version, log, overrides.now ?? Date.now, started);
  const { space, downloads, abandoned, metrics, observers } = core;
  const registries = config.upstreams.map((upstreamConfig): MirroredRegistry => {
    const upstream = overrides.upstream?.(upstreamConfig) ?? connect(upstreamConfig, version, observers);
    started.defer(() => upstream.close());
    const { namespaces, isDockerHub } = upstreamConfig;
    return { mirror: new Mirror(core.mirrorPorts, upstream), namespaces, impliesLibrary: isDockerHub };
  });
  const repositories = new Repositories(registries as [MirroredRegistry, ...MirroredRegistry[]]);
  core.readUpstreams = () => registries.map(({ mirror: { upstream } }) => upstream);

  const tls = config.tls && (await loadTls(config.tls, log, overrides.tlsPollMs));
  const admin = await ListeningServer.listen(
    createAdminApp({
      findFaults: () => findFaults(core, config.dataDir),
      metrics: { contentType: metrics.contentType, render: () => metrics.render() },
    }),
    config.admin.listen,
  );
  started.defer(() => admin.close(AbortSignal.abort()));
  const registryApp = createRegistryApp({ repositories, observe: observers.request });
  const registry = await ListeningServer.listen(registryApp, config.listen, tls);
  started.defer(() => registry.close(AbortSignal.abort()));

  const { used: usedCacheBytes, limit: reachableCacheBytes } = await space.usage();
  const maxCacheBytes = await boundInBytes(config.dataDir, config.cache.maxSize);
  const running = started.move();
  return {
    registryUrl: registry.url,
    adminUrl: admin.url,
    maxCacheBytes,
    reachableCacheBytes,
    usedCacheBytes,
    close: async () => {
      const grace = AbortSignal.timeout(config.shutdownGraceMs);
      core.isStopping = true;
      await Promise.all([registry.close(grace), downloads.close(grace)]);
      abandoned.abort(new UpstreamError('unreachable', 'the mirror is shutting down'));
      await running.disposeAsync();
    },
  };
}

/** All that lies behind the listeners and before the upstreams. What it opens, `started` closes, in reverse. */
async function openCore(
  config: Config,
  version: string,
  log: Logger,
  now: () => number,
  started: AsyncDisposableStack,
) {
  const { dataDir, cache, tagTtlMs } = config;
  /** Ends what nobody waits for any more. */
  const abandoned = new AbortController();
  const storage = await openStorage({ dataDir, memoryBytes: cache.memoryBytes, now, log });
  started.defer(() => storage.close());
  const { blobs, metadata, spool } = storage;

  const metrics: Metrics = new Metrics(version, () => readState());
  const observers = new Observers(log, metrics);
  const onError = (err: unknown) => log.error({ err }, 'the last uses could not be recorded');
  const used = new AccessRecorder(metadata, { clock: now, onError });
  started.defer(() => used.close().catch(onError));

  const leases = new BlobLeases();
  const space = new CacheSpace({
    metadata,
    blobs,
    leases,
    lowWater: cache.lowWater,
    limit: (bytes) => diskLimit(dataDir, cache.maxSize, bytes + spool.bytes),
    flushAccess: () => used.flush(),
    onEvicted: observers.evicted,
  });
  const pauseUntil = (ms: number, signal: AbortSignal) => pause(ms, undefined, { signal });
  const downloads = new Downloads(
    { spool, blobs, metadata, space, observe: observers.download, pause: pauseUntil },
    leases,
  );
  const jobs = startJobs(storage, space, log);
  started.defer(() => jobs.close());

  const mirrorPorts: MirrorPorts = {
    ...{ metadata, blobs, leases, downloads, space, now, tagTtlMs, signal: abandoned.signal },
    touch: (digest) => used.record(digest),
    onLost: observers.blobLost,
    remember: (write) => write.then(() => undefined, observers.notRemembered),
    onFetched: observers.manifestFetched,
  };
  const core = {
    abandoned,
    isStopping: false,
    metadata,
    metrics,
    observers,
    space,
    downloads,
    mirrorPorts,
    readUpstreams: (): Upstream[] => [],
  };
  const readState = async (): Promise<CacheState> => ({
    ...(await metadata.totals()),
    ...(await space.usage()),
    downloads: downloads.count,
    upstreams: core.readUpstreams(),
  });
  return core;
}

/** Why requests can't be served, or should not be sent here. */
async function findFaults(
  core: Awaited<ReturnType<typeof openCore>>,
  dataDir: string,
): Promise<readonly string[]> {
  const faults = core.isStopping ? ['the mirror is shutting down'] : [];
  const asFault = (what: string) => (error: unknown) =>
    void faults.push(`${what}: ${(error as Error).message}`);
  await core.metadata.totals().catch(asFault('the index can not be read'));
  await access(dataDir, constants.W_OK).catch(asFault('the data directory can not be written'));
  return faults;
}

function connect(config: UpstreamConfig, version: string, observers: Observers): Upstream {
  return new RegistryUpstream({
    ...config,
    url: new URL(config.url),
    credentials: credentialsFrom(config.credentials),
    allowedRealms: config.realms,
    userAgent: `entrepot/${version}`,
    observe: observers.upstreamExchange,
  });
}

function startJobs({ reconcile }: Storage, space: CacheSpace, log: Logger): JobRunner {
  const jobs = new JobRunner(({ name }, err) => log.error({ err, job: name }, 'a job failed'));
  const trim = { name: 'trim', run: () => space.trim() };
  jobs.start(trim, TRIM_INTERVAL_MS);
  // Meanwhile requests are served: what is missing is noticed when it is asked for.
  const reconciled = reconcile
    ? jobs.runNow({
        name: 'reconcile',
        run: async (signal) => {
          log.warn(await reconcile(signal), 'the index was reconciled with the disk after a crash');
        },
      })
    : Promise.resolve();
  // A smaller bound than the last time takes effect at once.
  void reconciled.then(() => jobs.runNow(trim));
  return jobs;
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
