/** Whether what upstream once said may still be given out without asking again. Pure. */

/** Times in milliseconds. A clock that was set back makes everything due: asking too often beats never. */
export function isFresh(checkedAt: number, ttlMs: number, now: number): boolean {
  const age = now - checkedAt;
  return age >= 0 && age < ttlMs;
}
