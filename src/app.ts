/** The composition root: every part is made and wired here and in the files beside it. Read it first. */
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { adminAppOf } from './admin-front.ts';
import { administrationOf } from './administration.ts';
import { boundInBytes } from './blobs/disk-limit.ts';
import type { Config, UpstreamConfig } from './config/config.ts';
import { openCore } from './core.ts';
import { openListener } from './front.ts';
import { ListeningServer } from './http/server.ts';
import { TlsFiles } from './http/tls-files.ts';
import { openWorkers } from './keeper.ts';
import { untilAborted } from './lib/single-flight.ts';
import type { Tracer } from './lib/trace.ts';
import { Mirror } from './repository/mirror.ts';
import { Repositories, type MirroredRegistry } from './repository/repositories.ts';
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

export interface AppOptions extends AppOverrides {
  /** Where there are traces; it is left open. */
  readonly tracer?: Tracer | undefined;
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

/** @throws Error where the data directory, a TLS file or an address can't be used; nothing is left running then */
export async function startApp(
  config: Config,
  version: string,
  log: Logger,
  overrides: AppOptions = {},
): Promise<App> {
  await using started = new AsyncDisposableStack();
  const { now = Date.now, pause = pauseFor } = overrides;
  const core = await openCore({ config, version, log, now, pause }, started);
  const { instance, observers, downloads, mirrorPorts, surroundings } = core;
  const registries = config.upstreams.map((upstreamConfig): MirroredRegistry => {
    const options = { version, observers, now, offline: surroundings.offline, connect: overrides.upstream };
    const upstream = upstreamOf(config, upstreamConfig, options);
    started.defer(() => upstream.close());
    const { namespaces, isDockerHub } = upstreamConfig;
    return { mirror: new Mirror(mirrorPorts, upstream), namespaces, impliesLibrary: isDockerHub };
  }) as [MirroredRegistry, ...MirroredRegistry[]];
  surroundings.upstreams = registries.map(({ mirror }) => mirror.upstream);
  const administration = administrationOf(core, registries);
  started.defer(() => administration.actions.close());

  const tls = config.tls && (await loadTls(config.tls, log, overrides.tlsPollMs));
  const admin = await ListeningServer.listen(adminAppOf(core, administration), config.admin.listen, {
    maxConnections: MAX_ADMIN_CONNECTIONS,
  });
  started.defer(() => admin.close(AbortSignal.abort()));
  const repositories = new Repositories(registries);
  const { touch, leases } = mirrorPorts;
  const front = await (config.workers === 1 ? openListener : openWorkers)({
    ...{ config, version, instance, log, now, repositories, observers, leases, tls, touch },
    tracer: overrides.tracer,
    onBroken: core.onBroken,
  });
  started.defer(() => front.close(0));
  surroundings.front = front;

  const { used: usedCacheBytes, limit: reachableCacheBytes } = await core.space.usage();
  const maxCacheBytes = await boundInBytes(config.dataDir, config.cache.maxSize);
  const running = started.move();
  return {
    registryUrl: front.url,
    adminUrl: admin.url,
    ...{ maxCacheBytes, reachableCacheBytes, usedCacheBytes, broken: core.broken },
    close: async () => {
      const grace = AbortSignal.timeout(config.shutdownGraceMs);
      surroundings.isStopping = true;
      // In this order: until the last request and the last job are over, another download may begin.
      const jobs = untilAborted(administration.actions.close(), grace).catch(() => undefined);
      await Promise.all([jobs, front.close(config.shutdownGraceMs)]);
      await downloads.close(grace);
      core.abandoned.abort(new UpstreamError('offline', 'the mirror is shutting down'));
      await running.disposeAsync();
    },
  };
}

const MAX_ADMIN_CONNECTIONS = 256;
const pauseFor = (ms: number, signal: AbortSignal): Promise<void> => setTimeout(ms, undefined, { signal });

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
