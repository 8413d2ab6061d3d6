/** The configuration in effect, as plain data that may be shown: written as in the file, secrets masked. */
import { stringify } from 'yaml';
import { Secret } from '../lib/secret.ts';
import { formatBytes, formatDuration, parseBytes } from '../lib/units.ts';
import {
  formatListen,
  type CacheBound,
  type Config,
  type SecretOrFile,
  type UpstreamConfig,
} from './config.ts';

export function describeConfig(config: Config): Readonly<Record<string, unknown>> {
  const { admin, cache, downloads, scrub, clients, accel } = config;
  return {
    listen: formatListen(config.listen),
    admin: {
      listen: formatListen(admin.listen),
      ...(admin.token ? describeSecret('token', admin.token) : {}),
    },
    ...(config.tls ? { tls: { ...config.tls } } : {}),
    dataDir: config.dataDir,
    upstreams: config.upstreams.map(describeUpstream),
    cache: {
      maxSize: formatCacheBound(cache.maxSize),
      lowWater: formatShare(cache.lowWater),
      memory: exactBytes(cache.memoryBytes),
    },
    tagTtl: formatDuration(config.tagTtlMs),
    tagStaleFor: formatDuration(config.tagStaleForMs),
    missTtl: formatDuration(config.missTtlMs),
    offline: config.isOffline,
    downloads: {
      maxConcurrent: downloads.maxConcurrent,
      whenAbandoned: downloads.whenAbandoned,
      keepPartial: formatDuration(downloads.keepPartialMs),
    },
    scrub: {
      interval: formatDuration(scrub.intervalMs),
      rate: scrub.bytesPerSecond === 0 ? 0 : exactBytes(scrub.bytesPerSecond),
    },
    clients: {
      maxConnections: clients.maxConnections,
      timeout: formatDuration(clients.timeoutMs),
    },
    workers: config.workers,
    sendfile: config.sendfile,
    accel: accel
      ? { header: accel.header, prefix: accel.prefix, minSize: exactBytes(accel.minBytes) }
      : { header: 'off' },
    log: { level: config.log.level },
    shutdownGrace: formatDuration(config.shutdownGraceMs),
  };
}

/** The same as YAML. */
export function formatConfig(config: Config): string {
  return stringify(describeConfig(config));
}

export function formatCacheBound(bound: CacheBound): string {
  return bound.kind === 'share' ? formatShare(bound.share) : exactBytes(bound.bytes);
}

function describeUpstream(upstream: UpstreamConfig): Readonly<Record<string, unknown>> {
  const { credentials } = upstream;
  return {
    url: upstream.url,
    namespaces: [...upstream.namespaces],
    ...(credentials?.kind === 'password'
      ? { username: credentials.username, ...describeSecret('password', credentials.password) }
      : {}),
    ...(credentials?.kind === 'token' ? describeSecret('token', credentials.token) : {}),
    ...(upstream.realms.length > 0 ? { realms: [...upstream.realms] } : {}),
    ...(upstream.redirects.length > 0 ? { redirects: [...upstream.redirects] } : {}),
    maxConnections: upstream.maxConnections,
    connectTimeout: formatDuration(upstream.connectTimeoutMs),
    headersTimeout: formatDuration(upstream.headersTimeoutMs),
    bodyTimeout: formatDuration(upstream.bodyTimeoutMs),
  };
}

function describeSecret(key: string, secret: SecretOrFile): Readonly<Record<string, string>> {
  return secret instanceof Secret ? { [key]: secret.toString() } : { [`${key}File`]: secret.file };
}

function formatShare(share: number): string {
  return `${Number((share * 100).toPrecision(12))}%`;
}

function exactBytes(bytes: number): string {
  const text = formatBytes(bytes);
  return parseBytes(text) === bytes ? text : String(bytes);
}
