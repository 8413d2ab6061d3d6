import { describe, expect, it } from 'vitest';
import { Quiet } from '../../../src/lib/collect-when-quiet.ts';

const LOOK_MS = 2000;
const MINUTE = 30;

function looksOf(quiet: Quiet, count: number, workMs: number): boolean[] {
  return Array.from({ length: count }, () => quiet.isTimeToCollect(workMs, LOOK_MS));
}

describe('Quiet', () => {
  it('waits for a quiet minute after work, and is then done until there was work again', () => {
    const quiet = new Quiet();
    for (let round = 0; round < 3; round += 1) {
      expect(looksOf(quiet, 2, 1500)).not.toContain(true);
      expect(looksOf(quiet, 3 * MINUTE, 0).indexOf(true)).toBe(MINUTE - 1);
      expect(looksOf(quiet, 3 * MINUTE, 0)).not.toContain(true);
    }
  });

  it('begins to wait anew with every look that is not quiet', () => {
    const quiet = new Quiet();
    for (let round = 0; round < 3; round += 1) {
      expect(looksOf(quiet, 1, 1000)).not.toContain(true);
      expect(looksOf(quiet, MINUTE - 1, 0)).not.toContain(true);
    }
  });

  it('does nothing while there is little to collect, and adds that up', () => {
    const quiet = new Quiet();
    // 30 ms each: 500 ms are there with the 17th, the quiet minute only with the 30th.
    expect(
      looksOf(quiet, 2 * MINUTE, 30)
        .map(Number)
        .reduce((sum, look) => sum + look),
    ).toBe(2);
    expect(looksOf(new Quiet(), MINUTE, 10)).not.toContain(true);
  });

  it('never does where it is always busy', () => {
    expect(looksOf(new Quiet(), 100, 50)).not.toContain(true);
  });
});
