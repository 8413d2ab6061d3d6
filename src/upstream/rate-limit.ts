/** What an upstream's headers say about how much we may still ask of it. */
import type { RateLimit } from './upstream.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** A day: nobody can mean more, and a wrong clock may say so. */
const MAX_RETRY_AFTER_SECONDS = 24 * 60 * 60;

/** Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining`; undefined where there is neither. */
export function parseRateLimit(headers: Headers, now: number): RateLimit | undefined {
  const limit = parseQuota(headers['ratelimit-limit']);
  const remaining = parseQuota(headers['ratelimit-remaining']);
  if (limit === undefined && remaining === undefined) return undefined;
  return {
    limit: limit?.count,
    remaining: remaining?.count,
    windowSeconds: limit?.windowSeconds ?? remaining?.windowSeconds,
    seenAt: now,
  };
}

/** Seconds, or a date (RFC 9110, section 10.2.3). */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - now) / 1000);
  if (Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(seconds, 0), MAX_RETRY_AFTER_SECONDS);
}

function parseQuota(
  header: string | string[] | undefined,
): { count: number; windowSeconds: number | undefined } | undefined {
  const match =
    typeof header === 'string' ? /^\s*(\d{1,15})\s*(?:;\s*w=(\d{1,15})\b.*)?$/i.exec(header) : null;
  if (!match) return undefined;
  return { count: Number(match[1]), windowSeconds: match[2] === undefined ? undefined : Number(match[2]) };
}
