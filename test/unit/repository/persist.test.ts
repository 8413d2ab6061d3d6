import { describe, expect, it } from 'vitest';
import { ContentMismatchError, SpoolWriteError } from '../../../src/blobs/spool.ts';
import { persist } from '../../../src/repository/persist.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { UpstreamError } from '../../../src/upstream/upstream.ts';

function attempts(
  outcomes: readonly (Error | { readonly progress: number; readonly error: Error } | string)[],
) {
  let progress = 0;
  const pauses: number[] = [];
  const retries: Error[] = [];
  const left = [...outcomes];
  const result = persist(
    () => {
      const next = left.shift() ?? new Error('asked more often than expected');
      if (typeof next === 'string') return Promise.resolve(next);
      if (next instanceof Error) return Promise.reject(next);
      progress = next.progress;
      return Promise.reject(next.error);
    },
    {
      progress: () => progress,
      onRetry: (cause) => void retries.push(cause),
      signal: new AbortController().signal,
      pause: (ms) => {
        pauses.push(ms);
        return Promise.resolve();
      },
    },
  );
  return { result, pauses, retries, left };
}

const unreachable = new UpstreamError('unreachable', 'connection refused');

describe('persist', () => {
  it('tries again what may pass, pausing longer each time, below what clients wait for', async () => {
    const { result, pauses } = attempts([unreachable, unreachable, new Error('socket hang up'), 'done']);
    expect(await result).toBe('done');
    expect(pauses).toHaveLength(3);
    expect(pauses[1]).toBeGreaterThan(pauses[0]!);
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(10_000);
  });

  it('gives up after some tries in a row that bring nothing', async () => {
    const { result, left } = attempts(Array.from({ length: 10 }, () => unreachable));
    await expect(result).rejects.toBe(unreachable);
    expect(left.length).toBe(6);
  });

  it('gives up on an upstream that cuts off after every byte', async () => {
    const cuts = Array.from({ length: 500 }, (_, index) => ({
      progress: index + 1,
      error: new Error('cut'),
    }));
    await expect(attempts(cuts).result).rejects.toThrow('cut');
  });

  it('does not count tries that brought something', async () => {
    const cuts = Array.from({ length: 20 }, (_, index) => ({ progress: index + 1, error: new Error('cut') }));
    expect(await attempts([...cuts, 'done']).result).toBe('done');
  });

  it('tries nothing again that another try will not mend', async () => {
    for (const error of [
      new UpstreamError('denied', 'no'),
      new UpstreamError('rate-limited', 'later'),
      new UpstreamError('protocol', 'nonsense'),
      new ContentMismatchError('other bytes'),
      new SpoolWriteError(new Error('ENOSPC'), { length: 0, digest: digestOf(Buffer.from('')) }),
    ]) {
      const { result, retries } = attempts([error]);
      await expect(result).rejects.toBe(error);
      expect(retries).toEqual([]);
    }
  });
});
