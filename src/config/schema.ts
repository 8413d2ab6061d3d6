/** The one schema: every setting with its meaning, default and variable, and the checks across them. */
import * as z from 'zod';
import { ACCEL_HEADERS, LOG_LEVELS, SENDFILE_MODES, WHEN_ABANDONED } from './config.ts';
import { checkAdmin, checkNames, checkTls } from './contradictions.ts';
import * as kinds from './kinds.ts';
import type { ReadFile } from './kinds.ts';
import { optional, withDefault } from './setting.ts';
import { upstreamSchema } from './upstream-schema.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;

export type ParsedConfig = z.infer<ReturnType<typeof configSchema>>;

/** @param readFile for the files that settings name: secrets, and those that have to be readable */
export function configSchema(readFile: ReadFile) {
  return z.strictObject({
    listen: withDefault('0.0.0.0:5000', kinds.listenAddress, {
      env: 'ENTREPOT_LISTEN',
      description:
        'Where the registry listens. `:5000` stands for every IPv4 address; `[::]:5000` takes IPv6 as well.',
    }),
    admin: adminSchema(readFile).prefault({}),
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
    ...sendingSettings(),
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

function adminSchema(readFile: ReadFile) {
  return z
    .strictObject({
      listen: withDefault('127.0.0.1:5001', kinds.listenAddress, {
        env: 'ENTREPOT_ADMIN_LISTEN',
        description:
          'Where the web page, the admin API, `/healthz`, `/readyz` and `/metrics` are. On loopback whoever is on the machine may see everything and, until there is a token, change everything. On any other address everybody who reaches it sees the metrics and, until there is a token, what is cached; nobody changes anything without one.',
      }),
      token: optional(kinds.accessToken, {
        env: 'ENTREPOT_ADMIN_TOKEN',
        description:
          'What has to be shown, as `Authorization: Bearer <token>`, to change anything over the admin API, and to read it too where that does not listen on loopback or is asked by another name. The web page and the commands ask for it.',
      }),
      tokenFile: optional(kinds.secretFile(readFile, kinds.accessToken), {
        env: 'ENTREPOT_ADMIN_TOKEN_FILE',
        description:
          'A file with the token, such as a Docker or Kubernetes secret. Read whenever it is needed, so that a new token needs no restart.',
      }),
    })
    .superRefine((admin, check) => checkAdmin(admin, check));
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

/** By whom, and how, answers are sent. */
function sendingSettings() {
  return {
    workers: withDefault('1', kinds.processes, {
      env: 'ENTREPOT_WORKERS',
      description:
        'How many processes answer clients. More than one share the port and the cache: each answers what is asked often and sends stored blobs by itself, and passes all else on to the first process, which alone downloads and evicts. Each needs some 50 MB. `auto` is one for each processor core.',
    }),
    sendfile: withDefault('auto', kinds.choice(SENDFILE_MODES), {
      env: 'ENTREPOT_SENDFILE',
      description:
        'Whether the system sends the files of blobs by itself, which costs less, where it can: on Linux, without TLS. `auto` has it do so where it pays, from some 100 KiB at a time on; `always` has it send all that can be sent so; `off` nothing.',
    }),
    accel: z
      .strictObject({
        header: withDefault('off', kinds.choice(ACCEL_HEADERS), {
          env: 'ENTREPOT_ACCEL_HEADER',
          description:
            'Whether a web server in front sends stored blobs from their files: nginx by `x-accel-redirect`, Apache and lighttpd by `x-sendfile`. Only requests with a header `X-Sendfile-Type` that names the same are answered so. [deploy/nginx-accel.conf](../deploy/nginx-accel.conf) is an example.',
        }),
        prefix: withDefault('/entrepot-blobs/', kinds.uriPrefix, {
          env: 'ENTREPOT_ACCEL_PREFIX',
          description: 'Where nginx has the directory `blobs/v1` of the cache, in an internal location.',
        }),
        minSize: withDefault('1MiB', kinds.size, {
          env: 'ENTREPOT_ACCEL_MIN_SIZE',
          description: 'Blobs that are smaller than that are sent by the mirror itself.',
        }),
      })
      .prefault({}),
  };
}
