/** The one schema: every setting with its meaning, default and variable, and the checks across them. */
import * as z from 'zod';
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
    tagTtl: withDefault('60s', kinds.duration(0, 365 * DAY), {
      env: 'ENTREPOT_TAG_TTL',
      description:
        'How long a tag is served without asking the upstream where it points now. `0` always asks.',
    }),
    log: z
      .strictObject({
        level: withDefault('info', kinds.logLevel, {
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
      maxConnections: withDefault('32', kinds.integer(1, 1024), {
        description:
          'How many connections to it may carry blobs at once. Short questions, such as where a tag points, have up to sixteen of their own.',
      }),
      connectTimeout: withDefault('5s', kinds.duration(1, HOUR), {
        description: 'How long a connection, with its TLS handshake, may take to come about.',
      }),
      headersTimeout: withDefault('20s', kinds.duration(1, HOUR), {
        description:
          "How long it may take to begin its answer. Below the 30s after which containerd gives up on the mirror's.",
      }),
      bodyTimeout: withDefault('30s', kinds.duration(1, HOUR), {
        description: 'How long it may be silent in the middle of an answer.',
      }),
    })
    .superRefine((upstream, check) => checkCredentials(upstream, check));
}
