import { describe, expect, it } from 'vitest';
import { ByteRate } from '../../../src/lib/byte-rate.ts';

const signal = new AbortController().signal;

/** Its pauses end when they should, and no earlier. */
function rateOf(bytesPerSecond: number) {
  let time = 0;
  const pauses: number[] = [];
  const rate = new ByteRate({
    bytesPerSecond,
    clock: () => time,
    pause: (ms) => {
      pauses.push(ms);
      time += ms;
      return Promise.resolve();
    },
  });
  return { rate, pauses, now: () => time, pass: (ms: number) => void (time += ms) };
}

describe('ByteRate', () => {
  it.each([
    ['large pieces', 256 * 1024, 1000],
    ['pieces that take less than a timer can wait', 100, 100_000],
  ])('never lets through more than the rate, in %s', async (_title, piece, count) => {
    const { rate, now } = rateOf(1_000_000);
    for (let n = 0; n < count; n += 1) await rate.spend(piece, signal);
    const seconds = (piece * count) / 1_000_000;
    // Short of what may be put off and made up for.
    expect(now()).toBeGreaterThan(seconds * 1000 - 110);
    expect(now()).toBeLessThan(seconds * 1000 + 1);
  });

  it('counts the time that the work itself takes', async () => {
    const { rate, pauses, pass } = rateOf(1000);
    await rate.spend(1000, signal);
    pass(60);
    await rate.spend(1000, signal);
    expect(pauses[1]).toBe(940);
  });

  it('saves up next to nothing while nothing is done', async () => {
    const { rate, pauses, pass } = rateOf(1000);
    await rate.spend(1000, signal);
    pass(60_000);
    await rate.spend(1000, signal);
    expect(pauses[1]).toBe(900);
  });

  it('makes no timers for what a timer can not measure', async () => {
    const { rate, pauses } = rateOf(1_000_000);
    for (let n = 0; n < 3000; n += 1) await rate.spend(100, signal);
    expect(pauses.length).toBeGreaterThan(10);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(5);
  });

  it('ends its pause when that is aborted', async () => {
    const abort = new AbortController();
    const rate = new ByteRate({
      bytesPerSecond: 1,
      pause: (_ms, until) =>
        new Promise((_resolve, reject) => {
          until.addEventListener('abort', () => reject(until.reason as Error));
        }),
    });
    const spent = rate.spend(1_000_000, abort.signal);
    abort.abort(new Error('stopping'));
    await expect(spent).rejects.toThrow('stopping');
  });
});
