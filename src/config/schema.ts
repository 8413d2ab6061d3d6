/** The one schema: every setting with its meaning, default and variable, and the checks across them. */
import * as z from 'zod';
import { LOG_LEVELS, WHEN_ABANDONED } from './config.ts';
import { checkCredentials, checkNames, checkTls } from './contradictions.ts';
import * as kinds from './kinds.ts';
import type { ReadFile } from './kinds.ts';
import { optional, required, withDefault } from './setting.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

export type ParsedConfig = z.infer<ReturnType<typeof configSchema>>;
export type ParsedUpstream = z.infer<ReturnType<typeof upstreamSchema>>;

/** @param readFile for the files that settings name: secrets, and those that have to be readable */
export function configSchema(readFile: ReadFile) {
  return z.strictObject({
    listen: withDefault('0.0.0.0:5000', kinds.listenAddress, {
      env: 'ENTREPOT_LISTEN',
      description:
        'Where the registry listens. `:5000` stands for every IPv4 address; `[::]:5000` takes IPv6 as well.',
    }),
    admin: z
      .strictObject({
        listen: withDefault('127.0.0.1:5001', kinds.listenAddress, {
          env: 'ENTREPOT_ADMIN_LISTEN',
          description:
            'Where `/healthz`, `/readyz` and `/metrics` are. Nothing on it asks who is there: keep it from strangers.',
        }),
      })
      .prefault({}),
    tls: tlsSchema(readFile).prefault({}),
    dataDir: withDefault('./data', kinds.path, {
      env: 'ENTREPOT_DATA_DIR',
      description: 'The directory of the cache and its index. Made where it is missing.',
    }),
    upstreams: z
      .array(upstreamSchema(readFile))
      .min(1)
      .superRefine((upstreams, check) => checkNames(upstreams, check)),
    cache: cacheSchema().prefault({}),
    ...agingSettings(),
    downloads: downloadsSchema().prefault({}),
    scrub: scrubSchema().prefault({}),
    clients: clientsSchema().prefault({}),
    log: z
      .strictObject({
        level: withDefault('info', kinds.choice(LOG_LEVELS), {
          env: 'ENTREPOT_LOG_LEVEL',
          description:
            'The least severe that is logged. `info` has a line for each request; `warn` only what needs a look.',
        }),
      })
      .prefault({}),
    shutdownGrace: withDefault('25s', kinds.duration(0, HOUR), {
      env: 'ENTREPOT_SHUTDOWN_GRACE',
      description:
        'How long requests that are running at SIGTERM may take to end. Below the time after which the supervisor kills: 30s in Kubernetes, 10s in Docker unless told otherwise.',
    }),
  });
}

/** How old an answer of the upstream may get, and whether it is asked at all. */
function agingSettings() {
  return {
    tagTtl: withDefault('60s', kinds.duration(0, 365 * DAY), {
      env: 'ENTREPOT_TAG_TTL',
      description:
        'How long a tag is served without asking the upstream where it points now. `0` always asks.',
    }),
    tagStaleFor: withDefault('30d', kinds.duration(0, 3650 * DAY), {
      env: 'ENTREPOT_TAG_STALE_FOR',
      description:
        'How long after the upstream last confirmed a tag it is still served while the upstream can not be asked. `0` never does. Switched offline, there is no such limit.',
    }),
    missTtl: withDefault('10s', kinds.duration(0, DAY), {
      env: 'ENTREPOT_MISS_TTL',
      description:
        'How long it is remembered that the upstream does not have something, or does not show it. `0` always asks.',
    }),
    offline: withDefault('false', kinds.toggle, {
      env: 'ENTREPOT_OFFLINE',
      description: 'Serves from the cache alone and asks no upstream for anything.',
    }),
  };
}

function tlsSchema(readFile: ReadFile) {
  return z
    .strictObject({
      certificate: optional(kinds.readableFile(readFile, 'a PEM file with the certificate and its chain'), {
        env: 'ENTREPOT_TLS_CERTIFICATE',
        description:
          'A PEM file with the certificate and its chain: the registry then speaks HTTPS. Read again when it changes.',
      }),
      key: optional(kinds.readableFile(readFile, 'a PEM file with the private key'), {
        env: 'ENTREPOT_TLS_KEY',
        description: 'A PEM file with the private key of the certificate.',
      }),
    })
    .superRefine((tls, check) => checkTls(tls, check));
}

function cacheSchema() {
  return z.strictObject({
    maxSize: withDefault('80%', kinds.cacheBound, {
      env: 'ENTREPOT_CACHE_MAX_SIZE',
      description:
        'How much disk the cache may fill: bytes as `40GiB` or `500MB`, or a share of the file system as `80%`.',
    }),
    lowWater: withDefault('90%', kinds.share, {
      env: 'ENTREPOT_CACHE_LOW_WATER',
      description:
        'When the cache reaches its bound, the least recently used goes until this share of it is left.',
    }),
    memory: withDefault('64MiB', kinds.size, {
      env: 'ENTREPOT_CACHE_MEMORY',
      description: 'How much memory may hold manifests and small blobs that are asked for often.',
    }),
  });
}

function downloadsSchema() {
  return z.strictObject({
    maxConcurrent: withDefault('32', kinds.integer(1, 1024), {
      env: 'ENTREPOT_DOWNLOADS_MAX_CONCURRENT',
      description:
        'How many blobs may be on their way in at once, from all upstreams together. What has to wait takes its turn client by client.',
    }),
    whenAbandoned: withDefault('finish', kinds.choice(WHEN_ABANDONED), {
      env: 'ENTREPOT_DOWNLOADS_WHEN_ABANDONED',
      description:
        'What becomes of a download when the last client that wanted it has left: `finish` completes it, `stop` keeps what has come, for whoever asks for it next.',
    }),
    keepPartial: withDefault('24h', kinds.duration(0, 365 * DAY), {
      env: 'ENTREPOT_DOWNLOADS_KEEP_PARTIAL',
      description:
        'How long a half-downloaded blob is kept, so that its download can go on where it was. It goes earlier where the room is needed.',
    }),
  });
}

function scrubSchema() {
  return z.strictObject({
    interval: withDefault('7d', kinds.duration(60 * SECOND, 3650 * DAY), {
      env: 'ENTREPOT_SCRUB_INTERVAL',
      description:
        'How often every stored blob is read again and held against its digest. A blob that no longer has it is forgotten and fetched again.',
    }),
    rate: withDefault('16MiB', kinds.rate, {
      env: 'ENTREPOT_SCRUB_RATE',
      description: 'How many bytes a second that may read. `0` switches it off.',
    }),
  });
}

function clientsSchema() {
  return z.strictObject({
    maxConnections: withDefault('16384', kinds.integer(1, 1_000_000), {
      env: 'ENTREPOT_CLIENTS_MAX_CONNECTIONS',
      description: 'How many connections to the registry may be open at once; any more are closed at once.',
    }),
    timeout: withDefault('5m', kinds.duration(SECOND, HOUR), {
      env: 'ENTREPOT_CLIENTS_TIMEOUT',
      description:
        'How long a client that is being answered may take nothing before its connection is closed.',
    }),
  });
}

function upstreamSchema(readFile: ReadFile) {
  return z
    .strictObject({
      url: required(kinds.registryUrl, {
        env: 'ENTREPOT_UPSTREAM_URL',
        defaultNote: '`https://registry-1.docker.io` for the first; the others need one',
        description: 'The registry to mirror. It may have a path, which comes before `/v2/`.',
      }),
      namespaces: optional(kinds.registryHosts, {
        env: 'ENTREPOT_UPSTREAM_NAMESPACES',
        defaultNote: "the URL's host, and `docker.io` for Docker Hub, or else for the first upstream",
        description:
          'The registry names that it answers for, in `?ns=` and as a path prefix. A name belongs to one upstream only.',
      }),
      username: optional(kinds.username, {
        env: 'ENTREPOT_UPSTREAM_USERNAME',
        description:
          'Who pulls from the upstream. Whatever this account may read, every client of the mirror may read too.',
      }),
      password: optional(kinds.secret, {
        env: 'ENTREPOT_UPSTREAM_PASSWORD',
        description: 'The password of `username`, or an access token in its place.',
      }),
      passwordFile: optional(kinds.secretFile(readFile), {
        env: 'ENTREPOT_UPSTREAM_PASSWORD_FILE',
        description:
          'A file with the password, such as a Docker or Kubernetes secret. Read whenever it is needed, so that a new password needs no restart.',
      }),
      token: optional(kinds.secret, {
        env: 'ENTREPOT_UPSTREAM_TOKEN',
        description:
          'A bearer token that the registry takes as it is, instead of a user name and a password.',
      }),
      tokenFile: optional(kinds.secretFile(readFile), {
        env: 'ENTREPOT_UPSTREAM_TOKEN_FILE',
        description: 'A file with the token. Read whenever it is needed.',
      }),
      realms: optional(kinds.registryHosts, {
        env: 'ENTREPOT_UPSTREAM_REALMS',
        description:
          "Hosts that may act as its token service although they are not of the registry's own domain. The password is sent to them.",
      }),
      redirects: optional(kinds.registryHosts, {
        env: 'ENTREPOT_UPSTREAM_REDIRECTS',
        description:
          'Hosts that it may send us to for its bytes although their addresses are private, as those of an object store in the same network. Public addresses need no entry.',
      }),
      ...connectionSettings(),
    })
    .superRefine((upstream, check) => checkCredentials(upstream, check));
}

function connectionSettings() {
  return {
    maxConnections: withDefault('32', kinds.integer(1, 1024), {
      env: 'ENTREPOT_UPSTREAM_MAX_CONNECTIONS',
      description:
        'How many connections to it may carry blobs at once. Short questions, such as where a tag points, have up to sixteen of their own.',
    }),
    connectTimeout: withDefault('5s', kinds.duration(1, HOUR), {
      env: 'ENTREPOT_UPSTREAM_CONNECT_TIMEOUT',
      description: 'How long a connection, with its TLS handshake, may take to come about.',
    }),
    headersTimeout: withDefault('20s', kinds.duration(1, HOUR), {
      env: 'ENTREPOT_UPSTREAM_HEADERS_TIMEOUT',
      description:
        "How long it may take to begin its answer. Below the 30s after which containerd gives up on the mirror's.",
    }),
    bodyTimeout: withDefault('30s', kinds.duration(1, HOUR), {
      env: 'ENTREPOT_UPSTREAM_BODY_TIMEOUT',
      description:
        'How long it may be silent in the middle of an answer. After that the connection counts as broken, and a download goes on over another one.',
    }),
  };
}
