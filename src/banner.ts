/** What a person reads when the mirror has started: where it listens, and what to paste where. */
import { isInContainer, reachableUrl } from './lib/reachable-url.ts';
import { formatBytes } from './lib/units.ts';
import { formatCacheBound } from './config/describe-config.ts';
import type { Config } from './config/config.ts';

export interface Listening {
  readonly registryUrl: string;
  readonly adminUrl: string;
  readonly maxCacheBytes: number;
  /** Less than that where the disk is too full for it. */
  readonly reachableCacheBytes: number;
  readonly usedCacheBytes: number;
}

export function banner(config: Config, version: string, app: Listening): string {
  const [upstream, ...others] = config.upstreams;
  const share =
    config.cache.maxSize.kind === 'share'
      ? `, ${formatCacheBound(config.cache.maxSize)} of the file system`
      : '';
  const rows = [
    ['registry', app.registryUrl],
    ['admin', `${app.adminUrl}  (the page, /healthz, /readyz, /metrics)`],
    ['upstream', `${upstream.url}${upstream.credentials ? '' : ', anonymous'}`],
    ...others.map((other) => ['', `${other.url} as ${other.namespaces.join(', ')}`]),
    ['data', config.dataDir],
    ['cache', `${formatBytes(app.usedCacheBytes)} of at most ${formatBytes(app.maxCacheBytes)}${share}`],
    ...(app.reachableCacheBytes < app.maxCacheBytes
      ? [['', `the disk has room for ${formatBytes(app.reachableCacheBytes)} of it now`]]
      : []),
  ];
  const lines = rows.map(([name = '', value = '']) => `  ${name.padEnd(10)}${value}`);
  const daemon = JSON.stringify({ 'registry-mirrors': [reachableUrl(app.registryUrl)] }, null, 2);
  return [
    `Entrepôt ${version}: what one machine pulls, nobody downloads again`,
    '',
    ...lines,
    '',
    'On each machine, in /etc/docker/daemon.json, and then restart its docker:',
    // A container's own address may be none that other machines can reach.
    ...(isInContainer()
      ? ['(with the name of the host, where this container does not share its network)']
      : []),
    '',
    ...daemon.split('\n').map((line) => `  ${line}`),
    '',
  ].join('\n');
}
