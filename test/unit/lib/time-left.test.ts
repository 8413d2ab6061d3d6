import { describe, expect, it } from 'vitest';
import { timeLeft } from '../../../src/lib/time-left.ts';

describe('timeLeft', () => {
  it.each([
    [5000, 1000, 1000, 5000],
    [5000, 1000, 4000, 2000],
    [5000, 1000, 6000, 0],
    [5000, 1000, 60_000, 0],
  ])('of %d ms that began at %d is, at %d, %d', (ms, since, now, left) => {
    expect(timeLeft(ms, since, now)).toBe(left);
  });

  it('is nothing by a clock that was set back', () => {
    expect(timeLeft(5000, 1000, 999)).toBe(0);
  });
});
