import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ContentMismatchError, SpoolWriteError } from '../../../src/blobs/spool.ts';
import { SinkClosedError } from '../../../src/lib/outlet.ts';
import { FOR_AN_ANSWER, FOR_THE_REST, persist } from '../../../src/repository/persist.ts';
import { RegistryError } from '../../../src/oci/errors.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { UpstreamError } from '../../../src/upstream/upstream.ts';

function attempts(
  outcomes: readonly (Error | { readonly progress: number; readonly error: Error } | string)[],
  patience = FOR_AN_ANSWER,
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
      patience,
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

const isOfTheTransfer = (error: Error) => !(error instanceof UpstreamError || error instanceof RegistryError);
const unreachable = new UpstreamError('unreachable', 'connection refused');

describe('persist', () => {
  it('tries again what may pass, pausing longer each time, below what clients wait for', async () => {
    const { result, pauses } = attempts([unreachable, unreachable, unreachable, 'done']);
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
    await expect(attempts(cuts, FOR_THE_REST).result).rejects.toThrow('cut');
  });

  it('does not count tries that brought something', async () => {
    const cuts = Array.from({ length: 20 }, (_, index) => ({ progress: index + 1, error: new Error('cut') }));
    expect(await attempts([...cuts, 'done'], FOR_THE_REST).result).toBe('done');
  });

  it('is more patient in the middle of a body, for longer than a registry takes to restart', async () => {
    const { result, pauses, left } = attempts(
      Array.from({ length: 20 }, () => unreachable),
      FOR_THE_REST,
    );
    await expect(result).rejects.toBe(unreachable);
    expect(left.length).toBe(11);
    const waited = pauses.reduce((sum, ms) => sum + ms, 0);
    expect(waited).toBeGreaterThan(15_000);
    // containerd's CRI gives up after five minutes without a byte.
    expect(waited).toBeLessThan(60_000);
  });

  it('gives up in the middle of a body too, when nothing has come for long, however few tries that took', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const silences: number[] = [];
    const result = persist(
      () => {
        silences.push(performance.now());
        vi.advanceTimersByTime(60_000);
        return Promise.reject(unreachable);
      },
      {
        patience: FOR_THE_REST,
        // The first try brings something.
        progress: () => Math.min(1, silences.length),
        onRetry: () => undefined,
        signal: new AbortController().signal,
        pause: () => Promise.resolve(),
      },
    );
    await expect(result).rejects.toBe(unreachable);
    // Of five minutes of silence, of which the first began in the first try.
    expect(silences.length).toBe(5);
  });

  it('does not wait for a host that is being left alone, unless a body is under way', async () => {
    const leftAlone = new UpstreamError('unreachable', 'it did not answer', { retryAfterSeconds: 5 });
    const asked = attempts([leftAlone, 'late']);
    await expect(asked.result).rejects.toBe(leftAlone);
    expect(asked.pauses).toEqual([]);

    const limited = new UpstreamError('rate-limited', 'slow down', { retryAfterSeconds: 3 });
    const underWay = attempts([leftAlone, limited, 'done'], FOR_THE_REST);
    expect(await underWay.result).toBe('done');
    expect(underWay.pauses[0]).toBeGreaterThanOrEqual(2500);
    expect(underWay.pauses[1]).toBeGreaterThanOrEqual(1500);
  });

  it('tries nothing again that another try will not mend', async () => {
    for (const error of [
      new UpstreamError('denied', 'no'),
      new UpstreamError('rate-limited', 'later'),
      new UpstreamError('protocol', 'nonsense'),
      new RegistryError('MANIFEST_UNKNOWN', 'it does not exist'),
      new ContentMismatchError('other bytes'),
      new SinkClosedError(),
      new SpoolWriteError(new Error('ENOSPC'), { length: 0, digest: digestOf(Buffer.from('')) }),
    ]) {
      const patience = isOfTheTransfer(error) ? FOR_THE_REST : FOR_AN_ANSWER;
      const { result, retries } = attempts([error], patience);
      await expect(result).rejects.toBe(error);
      expect(retries).toEqual([]);
    }
  });
});
