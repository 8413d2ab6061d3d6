import { describe, expect, it } from 'vitest';
import { SingleFlight, untilAborted } from '../../../src/lib/single-flight.ts';

describe('SingleFlight', () => {
  it('runs once for all who ask while it runs', async () => {
    const flights = new SingleFlight<string, number>();
    const gate = Promise.withResolvers<number>();
    let runs = 0;
    const run = () => {
      runs += 1;
      return gate.promise;
    };
    const all = Promise.all(Array.from({ length: 100 }, () => flights.run('a', run)));
    gate.resolve(7);
    expect(await all).toEqual(Array.from({ length: 100 }, () => 7));
    expect(runs).toBe(1);
  });

  it('keeps keys apart', async () => {
    const flights = new SingleFlight<string, string>();
    const run = (key: string) => flights.run(key, () => Promise.resolve(key));
    expect(await Promise.all([run('a'), run('b')])).toEqual(['a', 'b']);
  });

  it('runs again once the first run is over', async () => {
    const flights = new SingleFlight<string, number>();
    let runs = 0;
    const run = () => flights.run('a', () => Promise.resolve(++runs));
    expect(await run()).toBe(1);
    expect(await run()).toBe(2);
  });

  it('fails for all who share the run, and not for the next one', async () => {
    const flights = new SingleFlight<string, string>();
    const fail = () => flights.run('a', () => Promise.reject(new Error('broken')));
    const results = await Promise.allSettled([fail(), fail()]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await flights.run('a', () => Promise.resolve('fine'))).toBe('fine');
  });

  it('leaves nothing running when the start itself throws', async () => {
    const flights = new SingleFlight<string, string>();
    const start = () =>
      flights.run('a', () => {
        throw new Error('broken');
      });
    expect(start).toThrow('broken');
    expect(await flights.run('a', () => Promise.resolve('fine'))).toBe('fine');
  });
});

describe('untilAborted', () => {
  it('passes on what the promise gives', async () => {
    const { signal } = new AbortController();
    expect(await untilAborted(Promise.resolve(7), signal)).toBe(7);
    await expect(untilAborted(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken');
  });

  it('leaves with the reason of the signal, and the promise goes on for the others', async () => {
    const shared = Promise.withResolvers<number>();
    const leaver = new AbortController();
    const reason = new Error('gone');
    const leaving = untilAborted(shared.promise, leaver.signal);
    const staying = untilAborted(shared.promise, new AbortController().signal);
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    shared.resolve(7);
    expect(await staying).toBe(7);
  });

  it('leaves at once when the signal is aborted already', async () => {
    const reason = new Error('gone');
    await expect(untilAborted(Promise.resolve(7), AbortSignal.abort(reason))).rejects.toBe(reason);
  });

  it('lets a promise fail behind the one who left, without an unhandled rejection', async () => {
    const shared = Promise.withResolvers<number>();
    const leaving = untilAborted(shared.promise, AbortSignal.abort(new Error('gone')));
    shared.reject(new Error('broken later'));
    await expect(leaving).rejects.toThrow('gone');
  });
});
