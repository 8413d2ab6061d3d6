import { describe, expect, it } from 'vitest';
import { fitLine } from '../../../bench/soak/line-fit.ts';

const along = (count: number, y: (x: number) => number) =>
  Array.from({ length: count }, (_, x) => ({ x, y: y(x) }));

describe('fitLine', () => {
  it('finds a line', () => {
    const line = fitLine(along(100, (x) => 7 + 0.5 * x));
    expect(line?.slope).toBeCloseTo(0.5);
    expect(line?.offset).toBeCloseTo(7);
  });

  it('is not led astray by a quarter of points that are far off', () => {
    const line = fitLine(along(1000, (x) => (x % 4 === 0 ? 1e6 : 7 - 0.5 * x)));
    expect(line?.slope).toBeCloseTo(-0.5, 1);
  });

  it('looks at many points as a whole, not at their beginning', () => {
    const line = fitLine(along(100_000, (x) => (x < 10_000 ? x : 10_000)));
    expect(line?.slope).toBeCloseTo(0);
    expect(line?.offset).toBeCloseTo(10_000);
  });

  it('finds none where there are no two points apart', () => {
    expect(fitLine([])).toBeUndefined();
    expect(fitLine([{ x: 1, y: 2 }])).toBeUndefined();
    expect(
      fitLine([
        { x: 1, y: 2 },
        { x: 1, y: 3 },
      ]),
    ).toBeUndefined();
  });
});
