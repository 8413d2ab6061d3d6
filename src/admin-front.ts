/** What the admin listener shows of the parts: whether the mirror can serve, what is wrong meanwhile, and its metrics. */
import { access, constants } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import type { Administration } from './admin/administration.ts';
import type { Core } from './core.ts';
import { createAdminApp } from './http/admin.ts';
import { systemMessage } from './lib/system-message.ts';
import { roomWarnings } from './repository/storage-health.ts';

export function adminAppOf(core: Core, administration: Administration): RequestListener {
  const { metrics, surroundings, log } = core;
  const { listen, token } = core.config.admin;
  return createAdminApp({
    ...{ administration, ...healthOf(core) },
    access: { listenHost: listen.host, token },
    onError: (err) => log.error({ err }, 'the admin listener could not answer'),
    now: core.now,
    metrics: {
      contentType: metrics.contentType,
      render: async () => metrics.render(await surroundings.front?.snapshots()),
    },
  });
}

export interface Health {
  /** Why requests should not be sent here. */
  readonly findFaults: () => Promise<readonly string[]>;
  /** What costs nobody a pull: it goes straight through. */
  readonly findWarnings: () => Promise<readonly string[]>;
}

export function healthOf({ config, storage, space, observers, surroundings }: Core): Health {
  const { dataDir } = config;
  return {
    findFaults: () => Promise.resolve(faultsOf(surroundings)),
    findWarnings: async () => [
      ...(surroundings.offline.isOn ? ['the mirror is switched offline'] : []),
      ...observers.storage.warnings,
      ...(surroundings.front?.warnings ?? []),
      ...(await warningOf('the data directory can not be written', access(dataDir, constants.W_OK))),
      ...(await warningOf('the index can not be read', storage.metadata.totals())),
      ...(await space.usage().then(roomWarnings, () => [])),
    ],
  };
}

function faultsOf({ isStopping, front }: Core['surroundings']): readonly string[] {
  if (isStopping) return ['the mirror is shutting down'];
  return front ? [] : ['the mirror is starting'];
}

async function warningOf(what: string, working: Promise<unknown>): Promise<readonly string[]> {
  return working.then(
    () => [],
    (error: unknown) => [`${what}: ${systemMessage(error)}`],
  );
}
