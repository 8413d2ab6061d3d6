/** What is left of a time that began at some point of a clock; all in milliseconds. */

/** At least 0. A clock that was set back leaves nothing: it could be hours. */
export function timeLeft(ms: number, since: number, now: number): number {
  const passed = now - since;
  return passed < 0 ? 0 : Math.max(0, ms - passed);
}
