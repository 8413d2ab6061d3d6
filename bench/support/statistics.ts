/** Medians and spreads of a handful of runs. */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @returns undefined of nothing */
export function spreadOf(values: readonly number[]): Spread | undefined {
  const median = medianOf(values);
  return median === undefined ? undefined : { median, min: Math.min(...values), max: Math.max(...values) };
}

/** @returns undefined of nothing */
export function medianOf(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const [upper, lower] = [sorted[sorted.length >> 1], sorted[(sorted.length - 1) >> 1]];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

/**
 * The median of the ratios run by run: what was measured in the same round had the same weather, which changes from
 * round to round more than what is compared.
 *
 * @returns undefined where there is nothing to compare
 */
export function pairedRatio(values: readonly number[], others: readonly number[]): number | undefined {
  const ratios = values.flatMap((value, round) => {
    const other = others[round];
    return other === undefined || other === 0 ? [] : [value / other];
  });
  return medianOf(ratios);
}
