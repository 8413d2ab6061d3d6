/** Whether, and until when, what upstream once said may still be given out without asking again. Pure. */
import type { Digest } from '../oci/digest.ts';
import type { Validity } from './repository.ts';

/** Times in milliseconds. A clock that was set back makes everything due: asking too often beats never. */
export function isFresh(checkedAt: number, ttlMs: number, now: number): boolean {
  const age = now - checkedAt;
  return age >= 0 && age < ttlMs;
}

/** Of content that is held: for as long as it is. */
export function whileHeld(digest: Digest): Validity {
  // No Infinity, which JSON does not have.
  return { since: 0, until: Number.MAX_SAFE_INTEGER, keys: [digest], touches: digest };
}

/** Of a tag that points to content which is held: while `isFresh` is so. */
export function whileFresh(tagKey: string, digest: Digest, checkedAt: number, ttlMs: number): Validity {
  return { since: checkedAt, until: checkedAt + ttlMs, keys: [digest, tagKey], touches: digest };
}
