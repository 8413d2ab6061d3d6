/** What a run is like, by its seed: how the mirror is set up, how many clients there are, what upstream can do. */
import { Random } from '../../support/random.ts';
import { FOR_ALL } from '../../support/for-all.ts';

export interface Plan {
  readonly seed: string;
  readonly seconds: number;
  /** Whether bits are flipped in stored blobs, which clients then get until a scrub finds them. */
  readonly flipsBits: boolean;
  readonly clients: number;
  readonly cacheBytes: number;
  readonly tagTtlMs: number;
  readonly missTtlMs: number;
  readonly tokenLifetimeSeconds: number;
  readonly hasCdn: boolean;
  readonly hasReferrersApi: boolean;
  readonly mirrorEnv: Readonly<Record<string, string>>;
}

export const USERNAME = 'chaos-user';
export const PASSWORD = 'chaos-password-7c1f0e';
/** What must be in no log, no answer, no metric: the password in every form, tokens, and signatures of the CDN. */
export const SECRETS = new RegExp(
  [
    PASSWORD,
    Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64'),
    'token-[0-9a-f]{8}-',
    'X-Amz-Signature',
  ].join('|'),
);
export const HEADERS_TIMEOUT_MS = 2000;
export const BODY_TIMEOUT_MS = 1000;
export const SHUTDOWN_GRACE_MS = 3000;
const MIB = 1024 * 1024;

export interface Wish {
  readonly seed: number;
  readonly seconds: number;
  readonly flipsBits?: boolean;
}

export function planOf({ seed, seconds, flipsBits = false }: Wish): Plan {
  const random = new Random(`${seed}/plan`);
  const cacheBytes = random.pick([16, 40, 64, 256]) * MIB;
  const tagTtlMs = random.pick([0, 500, 2000]);
  const missTtlMs = random.pick([0, 1000]);
  return {
    seed: String(seed),
    seconds,
    flipsBits,
    clients: random.between(10, 30),
    cacheBytes,
    tagTtlMs,
    missTtlMs,
    tokenLifetimeSeconds: random.pick([5, 60]),
    hasCdn: random.chance(0.75),
    hasReferrersApi: random.chance(0.75),
    mirrorEnv: {
      ENTREPOT_LISTEN: '127.0.0.1:0',
      ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0',
      ENTREPOT_UPSTREAM_USERNAME: USERNAME,
      ENTREPOT_UPSTREAM_PASSWORD: PASSWORD,
      ENTREPOT_UPSTREAM_CONNECT_TIMEOUT: '1s',
      ENTREPOT_UPSTREAM_HEADERS_TIMEOUT: `${HEADERS_TIMEOUT_MS}ms`,
      ENTREPOT_UPSTREAM_BODY_TIMEOUT: `${BODY_TIMEOUT_MS}ms`,
      ENTREPOT_UPSTREAM_MAX_CONNECTIONS: String(random.pick([4, 32])),
      ENTREPOT_CACHE_MAX_SIZE: String(cacheBytes),
      ENTREPOT_CACHE_MEMORY: random.pick(['1MiB', '64MiB']),
      ENTREPOT_TAG_TTL: `${tagTtlMs}ms`,
      ENTREPOT_MISS_TTL: `${missTtlMs}ms`,
      ENTREPOT_DOWNLOADS_MAX_CONCURRENT: String(random.pick([3, 32])),
      ENTREPOT_DOWNLOADS_WHEN_ABANDONED: random.pick(['finish', 'stop']),
      ENTREPOT_SHUTDOWN_GRACE: `${SHUTDOWN_GRACE_MS}ms`,
      ENTREPOT_LOG_LEVEL: 'debug',
      ...FOR_ALL,
      ...(flipsBits ? { ENTREPOT_SCRUB_INTERVAL: '60s', ENTREPOT_SCRUB_RATE: '1GiB' } : {}),
    },
  };
}
