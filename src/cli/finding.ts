/** What doctor says of each thing that it looks at, and when a bound is worth a word. */
/** Of one thing. */
export interface Finding {
  readonly check: string;
  /** `skipped`: it could not be looked at, and why. */
  readonly result: 'ok' | 'warning' | 'failed' | 'skipped';
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** A bound that is a share of a disk which others fill too is never reached: that alone is no trouble. */
export function isSqueezed(reachableBytes: number, maxBytes: number): boolean {
  return reachableBytes < maxBytes / 2;
}
