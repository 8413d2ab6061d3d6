import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AccessRecorder } from '../../../src/metadata/access-recorder.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { blobOf } from './content.ts';

const [a, b] = [blobOf('a').digest, blobOf('b').digest];

describe('AccessRecorder', () => {
  let now: number;
  let written: { digests: Digest[]; at: number }[];
  let failures: unknown[];
  let refuse: Error | undefined;
  let recorder: AccessRecorder;
  beforeEach(() => {
    vi.useFakeTimers();
    now = 1_000_000;
    written = [];
    failures = [];
    refuse = undefined;
    const recordAccess = (digests: Iterable<Digest>, at: number) => {
      if (refuse !== undefined) return Promise.reject(refuse);
      written.push({ digests: [...digests], at });
      return Promise.resolve();
    };
    recorder = new AccessRecorder(
      { recordAccess },
      { intervalMs: 2000, resolutionMs: 60_000, clock: () => now, onError: (error) => failures.push(error) },
    );
  });
  afterEach(async () => {
    refuse = undefined;
    await recorder.close();
    vi.useRealTimers();
  });

  it('writes what was used once an interval has passed, each digest once', async () => {
    for (const digest of [a, b, a]) recorder.record(digest);
    expect(written).toEqual([]);
    now += 2000;
    await vi.advanceTimersByTimeAsync(2000);
    expect(written).toEqual([{ digests: [a, b], at: 1_000_000 }]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(written).toHaveLength(1);
  });

  it('writes what was used earlier with the earlier time', async () => {
    recorder.record(a);
    now += 1500;
    recorder.record(b);
    await recorder.flush();
    expect(written).toEqual([
      { digests: [a], at: 1_000_000 },
      { digests: [b], at: 1_001_000 },
    ]);
  });

  it('writes a digest again only when the resolution has passed', async () => {
    recorder.record(a);
    await recorder.flush();
    now += 59_999;
    recorder.record(a);
    await recorder.flush();
    expect(written).toHaveLength(1);
    now += 1;
    recorder.record(a);
    await recorder.flush();
    expect(written.map((write) => write.at)).toEqual([1_000_000, 1_060_000]);
  });

  it('writes what is left when it is closed, and is quiet then', async () => {
    recorder.record(a);
    await recorder.close();
    expect(written).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not keep the process alive', () => {
    vi.useRealTimers();
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const idle = new AccessRecorder({ recordAccess: () => Promise.resolve() }, { onError: () => undefined });
    const after = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    expect(after).toBe(before);
    return idle.close();
  });

  it('tells that the index could not be written, and notes the next use again', async () => {
    refuse = new Error('disk full');
    recorder.record(a);
    await vi.advanceTimersByTimeAsync(2000);
    expect(failures).toEqual([refuse]);
    refuse = undefined;
    await recorder.flush();
    expect(written).toEqual([]);
    recorder.record(a);
    await recorder.flush();
    expect(written.map((write) => write.digests)).toEqual([[a]]);
  });

  it('rejects to whoever asks for a flush that fails', async () => {
    refuse = new Error('disk full');
    recorder.record(a);
    await expect(recorder.flush()).rejects.toBe(refuse);
    expect(failures).toEqual([]);
  });

  it('never writes twice at once', async () => {
    const gate = Promise.withResolvers<undefined>();
    let running = 0;
    let most = 0;
    const slow = new AccessRecorder(
      {
        recordAccess: async () => {
          most = Math.max(most, (running += 1));
          await gate.promise;
          running -= 1;
        },
      },
      { clock: () => now, onError: (error) => failures.push(error) },
    );
    slow.record(a);
    const first = slow.flush();
    slow.record(b);
    const second = slow.flush();
    gate.resolve(undefined);
    await Promise.all([first, second]);
    expect(most).toBe(1);
    await slow.close();
  });
});
