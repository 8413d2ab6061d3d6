import { describe, expect, it } from 'vitest';
import { forEachAtOnce } from '../../../src/lib/at-once.ts';

describe('forEachAtOnce', () => {
  it('works for each once, in order, with no more at once than may be', async () => {
    const begun: number[] = [];
    let running = 0;
    let most = 0;
    await forEachAtOnce([1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      most = Math.max(most, ++running);
      await Promise.resolve();
      running -= 1;
    });
    expect(begun).toEqual([1, 2, 3, 4, 5]);
    expect(most).toBe(2);
  });

  it('rejects with the first failure', async () => {
    const failure = new Error('the second');
    const work = (item: number) => (item === 2 ? Promise.reject(failure) : Promise.resolve());
    await expect(forEachAtOnce([1, 2, 3], 1, work)).rejects.toBe(failure);
  });

  it('has nothing to do for nothing', async () => {
    await expect(forEachAtOnce([], 3, () => Promise.reject(new Error('not to be called')))).resolves.toBe(
      undefined,
    );
  });
});
