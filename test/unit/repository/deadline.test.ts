import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { within } from '../../../src/repository/deadline.ts';

const never = new AbortController().signal;
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

describe('within', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it('gives what was asked for, and lets it go on with its signal after that', async () => {
    const signal = await within(1000, never, (until) => Promise.resolve(until));
    await vi.advanceTimersByTimeAsync(5000);
    expect(signal.aborted).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('says that upstream is unreachable when the time is up', async () => {
    const asked = within(1000, never, untilAborted);
    const failed = expect(asked).rejects.toMatchObject({ name: 'UpstreamError', failure: 'unreachable' });
    await vi.advanceTimersByTimeAsync(1000);
    await failed;
  });

  it('ends with the other signal too, for its reason', async () => {
    const abort = new AbortController();
    const asked = within(1000, abort.signal, untilAborted);
    abort.abort(new Error('stopping'));
    await expect(asked).rejects.toThrow('stopping');
    expect(vi.getTimerCount()).toBe(0);
  });
});
