/** A line through points of which some are far off: by Theil and Sen, the median of the slopes between all pairs. */
import { medianOf } from '../support/statistics.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Line {
  readonly slope: number;
  /** At x = 0. */
  readonly offset: number;
}

/** So that all pairs are a hundred thousand or so. */
const MAX_POINTS = 400;

/** @returns undefined where there are no two points apart */
export function fitLine(points: readonly Point[]): Line | undefined {
  const some = thinned(points);
  const slopes = some.flatMap((a, index) =>
    some.slice(index + 1).flatMap((b) => (b.x === a.x ? [] : [(b.y - a.y) / (b.x - a.x)])),
  );
  const slope = medianOf(slopes);
  if (slope === undefined) return undefined;
  const offset = medianOf(some.map(({ x, y }) => y - slope * x)) ?? 0;
  return { slope, offset };
}

function thinned(points: readonly Point[]): readonly Point[] {
  const step = Math.max(1, points.length / MAX_POINTS);
  const count = Math.min(points.length, MAX_POINTS);
  return Array.from({ length: count }, (_, index) => points[Math.floor(index * step)] as Point);
}
