/**
 * Remembers for a short while what upstream does not have, or does not show: a client that asks in a loop, or a flood
 * of names that do not exist, costs upstream one question each.
 */
import { LRUCache } from 'lru-cache';
import { formatReference } from '../oci/reference.ts';
import { delegating } from './delegating.ts';
import { UpstreamError, type Upstream } from './upstream.ts';

export interface AbsenceCacheOptions {
  /** 0 remembers nothing. */
  readonly ttlMs: number;
  readonly now: () => number;
}

interface Absence {
  readonly until: number;
  /** Upstream said more than that it does not exist. */
  readonly denied: UpstreamError | undefined;
}

/** Up to 1.3 KiB each (measured, of a denial). */
const MAX_ENTRIES = 10_000;

/** The same upstream; its lists are not remembered here (see Listings). */
export function rememberingAbsence(upstream: Upstream, { ttlMs, now }: AbsenceCacheOptions): Upstream {
  const absences = new LRUCache<string, Absence>({ max: MAX_ENTRIES });
  const unlessAbsent = async <T>(key: string, ask: () => Promise<T | undefined>): Promise<T | undefined> => {
    const known = absences.get(key);
    // A clock that was set back must not keep it for ever.
    if (known && known.until > now() && known.until <= now() + ttlMs) {
      if (known.denied) throw known.denied;
      return undefined;
    }
    const remember = (denied?: UpstreamError) => {
      if (ttlMs > 0) absences.set(key, { until: now() + ttlMs, denied });
    };
    try {
      const found = await ask();
      if (found === undefined) remember();
      else absences.delete(key);
      return found;
    } catch (error) {
      // Docker Hub denies what does not exist.
      if (error instanceof UpstreamError && error.failure === 'denied') remember(error);
      throw error;
    }
  };
  return delegating(upstream, {
    resolve: (repository, reference, signal) =>
      unlessAbsent(`manifest ${repository} ${formatReference(reference)}`, () =>
        upstream.resolve(repository, reference, signal),
      ),
    fetchManifest: (repository, reference, signal) =>
      unlessAbsent(`manifest ${repository} ${formatReference(reference)}`, () =>
        upstream.fetchManifest(repository, reference, signal),
      ),
    statBlob: (repository, digest, signal) =>
      unlessAbsent(`blob ${repository} ${digest}`, () => upstream.statBlob(repository, digest, signal)),
    fetchBlob: (repository, digest, offset, signal) => {
      const ask = () => upstream.fetchBlob(repository, digest, offset, signal);
      // The rest of one that was there: neither does another question's answer end it, nor is it one for the others.
      return offset > 0 ? ask() : unlessAbsent(`blob ${repository} ${digest}`, ask);
    },
  });
}
