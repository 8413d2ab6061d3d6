/** Medians, spreads and ratios of measurements. */
import { expect, test } from 'vitest';
import { medianOf, pairedRatio, spreadOf } from '../../../bench/support/statistics.ts';

test('the median of an odd number of values is the middle one, in whatever order they come', () => {
  expect(medianOf([9, 1, 10])).toBe(9);
});

test('the median of an even number of values lies halfway between the middle two', () => {
  expect(medianOf([1, 100, 2, 4])).toBe(3);
});

test('nothing has no median and no spread', () => {
  expect(medianOf([])).toBeUndefined();
  expect(spreadOf([])).toBeUndefined();
});

test('a spread has the least and the most beside the median', () => {
  expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
});

test('a ratio pairs what was measured in the same round', () => {
  // Both were three times slower in the second round; medians alone would say 1.
  expect(pairedRatio([10, 30, 10], [5, 15, 20])).toBe(2);
});

test('rounds that the other does not have are left out of a ratio', () => {
  expect(pairedRatio([10, 30], [5])).toBe(2);
  expect(pairedRatio([10, 30], [0, 15])).toBe(2);
  expect(pairedRatio([10], [])).toBeUndefined();
});
