import { describe, expect, it } from 'vitest';
import { run } from './support/run.ts';

const SECONDS = 14;
const DAY_MS = 24 * 60 * 60 * 1000;
const today = Math.floor(Date.now() / DAY_MS);

describe('a mirror among faults, kills and clients of all kinds', () => {
  it.each([1, 2, 3, today])(
    'serves no wrong byte and loses no pull (seed %i)',
    async (seed) => {
      const report = await run({ seed, seconds: SECONDS });
      console.log(report.summary);
      expect(report.findings, report.explanation).toEqual([]);
    },
    180_000,
  );
});
