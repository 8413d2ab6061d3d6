/** Makes the upstreams of the configuration: each a client of its registry, behind what keeps it from being asked in vain. */
import type { Config, UpstreamConfig } from './config/config.ts';
import type { Observers } from './observers.ts';
import { rememberingAbsence } from './upstream/absence-cache.ts';
import { credentialsFrom } from './upstream/credentials.ts';
import { switchable, type OfflineSwitch } from './upstream/offline-switch.ts';
import { RegistryUpstream } from './upstream/registry-upstream.ts';
import type { Upstream } from './upstream/upstream.ts';

export interface UpstreamsOptions {
  readonly version: string;
  readonly observers: Observers;
  readonly now: () => number;
  readonly offline: OfflineSwitch;
  /** Makes something else in place of a client. */
  readonly connect?: ((config: UpstreamConfig) => Upstream) | undefined;
}

export function upstreamOf(
  { missTtlMs }: Config,
  config: UpstreamConfig,
  { version, observers, now, offline, connect }: UpstreamsOptions,
): Upstream {
  const client =
    connect?.(config) ??
    new RegistryUpstream({
      ...config,
      url: new URL(config.url),
      credentials: credentialsFrom(config.credentials),
      allowedRealms: config.realms,
      allowedRedirects: config.redirects,
      userAgent: `entrepot/${version}`,
      observe: observers.upstreamExchange,
      now,
      onCircuit: (change) => observers.circuit(config.name, change),
    });
  return switchable(rememberingAbsence(client, { ttlMs: missTtlMs, now }), offline);
}
