/** Wires what whoever runs the mirror can see and do: parts of their own, over those that serve its clients. */
import type { Logger } from 'pino';
import { ConfigReader } from './admin/config-reader.ts';
import { MirrorActions, type MirrorActionsOptions } from './admin/mirror-actions.ts';
import { MirrorCatalog } from './admin/mirror-catalog.ts';
import { ImageNames } from './admin/names.ts';
import { LiveOverview, type OverviewPorts, type ShownUpstream } from './admin/overview.ts';
import { healthOf } from './admin-front.ts';
import { boundInBytes, freeBytes } from './blobs/disk-limit.ts';
import { formatListen, type Config } from './config/config.ts';
import type { Core } from './core.ts';
import type { Observers } from './observers.ts';
import type { MirroredRegistry } from './repository/repositories.ts';
import { troublesOf } from './telemetry/logger.ts';

/** @param registries in the order of the configuration's upstreams; `actions` are to be closed */
export function administrationOf(core: Core, registries: readonly MirroredRegistry[]) {
  const { storage } = core;
  const names = new ImageNames(
    registries.map(({ mirror, namespaces, impliesLibrary }) => {
      return { upstream: mirror.upstream.name, namespaces, impliesLibrary };
    }),
  );
  return {
    overview: new LiveOverview(overviewPorts(core, registries, names)),
    catalog: new MirrorCatalog({
      ...{ store: storage.catalog, metadata: storage.metadata, names },
      configs: new ConfigReader(storage.blobs),
      upstreams: registries.map(({ mirror }) => mirror.upstream.name),
    }),
    actions: new MirrorActions(actionsOptions(core, registries, names)),
  };
}

function overviewPorts(
  core: Core,
  registries: readonly MirroredRegistry[],
  names: ImageNames,
): OverviewPorts {
  const { config, storage, housekeeping, log, observers, surroundings } = core;
  const { instance, version, startedAt, now, space, traffic, downloads, places } = core;
  const { dataDir, cache, upstreams } = config;
  return {
    ...{ instance, version, startedAt, now, space, traffic, downloads, places },
    ...healthOf(core),
    registryUrl: () => surroundings.front?.url ?? configuredUrl(config),
    offline: surroundings.offline,
    metadata: storage.metadata,
    partialBytes: () => storage.spool.partialBytes,
    maxBytes: () => boundInBytes(dataDir, cache.maxSize),
    freeBytes: () => freeBytes(dataDir),
    nameOf: (repository) => names.format(repository),
    upstreams: upstreams.flatMap(({ url, namespaces, credentials }, position): ShownUpstream | [] => {
      const upstream = registries[position]?.mirror.upstream;
      return upstream ? { upstream, url, namespaces, account: credentials?.kind ?? 'anonymous' } : [];
    }),
    scrub: housekeeping.scrub,
    workers: () => surroundings.front?.running ?? 0,
    troubles: troublesOf(log),
    clients: observers.clients,
  };
}

/** Before it listens. */
function configuredUrl({ listen, tls }: Config): string {
  return `${tls ? 'https' : 'http'}://${formatListen(listen)}`;
}

function actionsOptions(
  core: Core,
  registries: readonly MirroredRegistry[],
  names: ImageNames,
): MirrorActionsOptions {
  const { storage, space, downloads, housekeeping, observers, log, surroundings, now } = core;
  return {
    ...{ names, space, downloads, now, offline: surroundings.offline },
    ...{ metadata: storage.metadata, catalog: storage.catalog },
    repositoryOf: ({ upstream, name }) => {
      const registry = registries.find(({ mirror }) => mirror.upstream.name === upstream);
      if (!registry) throw new Error(`there is no upstream ${upstream}`);
      return registry.mirror.repository(name);
    },
    runScrub: housekeeping.runScrub,
    scrubProgress: () => housekeeping.scrub.progress(),
    runCheck: housekeeping.runCheck,
    ...told(log, observers),
  };
}

/** What was done by hand: a line of the log each. */
function told(
  log: Logger,
  observers: Observers,
): Required<Pick<MirrorActionsOptions, 'onJob' | 'onPurged' | 'onOffline' | 'onPin'>> {
  return {
    onJob: ({ id, kind, state }, err) => {
      const line = { job: id, kind, state };
      if (state === 'running') log.info(line, `the job ${kind} began`);
      else if (err) log.warn({ ...line, err }, `the job ${kind} failed`);
      else log.info(line, `the job ${kind} ${state}`);
    },
    onPurged: (request, { blobs, manifests, freedBytes: bytes }) => {
      const what =
        'reference' in request
          ? request.reference
          : 'repository' in request
            ? request.repository
            : 'everything';
      observers.purged(what, { blobs, manifests, bytes });
    },
    onOffline: (isOffline) =>
      log.info(isOffline ? 'switched offline: upstream is asked for nothing' : 'switched online again'),
    onPin: (reference, isPinned) => log.info({ reference }, isPinned ? 'pinned' : 'no longer pinned'),
  };
}
