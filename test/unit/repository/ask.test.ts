import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RegistryError } from '../../../src/oci/errors.ts';
import { asker, type AskerOptions } from '../../../src/repository/ask.ts';
import { UpstreamError, type UpstreamFailure } from '../../../src/upstream/upstream.ts';

const OLDER = { hasOlderAnswer: true };

function asking(more: Partial<AskerOptions> = {}) {
  const pauses: number[] = [];
  const rejected: string[] = [];
  const ask = asker({
    signal: new AbortController().signal,
    pause: (ms) => {
      pauses.push(ms);
      return Promise.resolve();
    },
    onRejected: (kind) => void rejected.push(kind),
    ...more,
  });
  return { ask, pauses, rejected };
}

/** Fails so often, then says `found`. */
function failing(failure: UpstreamFailure, times: number, retryAfterSeconds?: number) {
  const asked: AbortSignal[] = [];
  const question = (until: AbortSignal): Promise<string> => {
    asked.push(until);
    if (asked.length > times) return Promise.resolve('found');
    return Promise.reject(new UpstreamError(failure, `failed ${asked.length}`, { retryAfterSeconds }));
  };
  return { asked, question };
}

/** Says nothing until it is told to stop. */
const silent = (until: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    until.addEventListener('abort', () => reject(until.reason as Error));
  });

function useFakeTimers(): void {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
}

describe('a question to upstream', () => {
  it('is put again where it failed and may not fail the next time, after a pause', async () => {
    const { ask, pauses, rejected } = asking();
    const { asked, question } = failing('unreachable', 3);
    expect(await ask('manifest', question)).toBe('found');
    expect([asked.length, pauses.length, rejected]).toEqual([4, 3, []]);
  });

  it('is given up after four tries, with the last failure', async () => {
    const { ask } = asking();
    const { asked, question } = failing('unreachable', 100);
    await expect(ask('manifest', question)).rejects.toThrow('failed 4');
    expect(asked.length).toBe(4);
  });

  it('is put once where an older answer is at hand', async () => {
    const { ask, pauses } = asking();
    const { asked, question } = failing('unreachable', 1);
    await expect(ask('tags', question, OLDER)).rejects.toThrow('failed 1');
    expect([asked.length, pauses]).toEqual([1, []]);
  });

  it('is put once where the host is left alone, or has named a time', async () => {
    for (const failure of ['unreachable', 'rate-limited'] as const) {
      const { ask, pauses } = asking();
      const { asked, question } = failing(failure, 1, 5);
      await expect(ask('blob', question)).rejects.toMatchObject({ failure, retryAfterSeconds: 5 });
      expect([asked.length, pauses]).toEqual([1, []]);
    }
  });

  it.each(['denied', 'misconfigured', 'offline', 'protocol'] as const)(
    'is put once where the answer is no failure of the moment: %s',
    async (failure) => {
      const { ask } = asking();
      const { asked, question } = failing(failure, 1);
      await expect(ask('blob', question)).rejects.toMatchObject({ failure });
      expect(asked.length).toBe(1);
    },
  );

  it('tells of an answer that no registry may give, with an older answer at hand and without', async () => {
    const { ask, rejected } = asking();
    await expect(ask('referrers', failing('protocol', 1).question)).rejects.toThrow();
    await expect(ask('tags', failing('protocol', 1).question, OLDER)).rejects.toThrow();
    await expect(ask('blob', failing('denied', 1).question)).rejects.toThrow();
    const unknown = () => Promise.reject(new RegistryError('NAME_UNKNOWN', 'there is no such repository'));
    await expect(ask('tags', unknown)).rejects.toBeInstanceOf(RegistryError);
    expect(rejected).toEqual(['referrers', 'tags']);
  });

  it.each([
    ['below what containerd waits for headers', {}, 24_999],
    ['sooner where an older answer is at hand', OLDER, 4999],
  ])('that is not answered ends %s, as one to someone unreachable', async (_, options, justBefore) => {
    useFakeTimers();
    const { ask } = asking();
    let isOver = false;
    const answer = ask('manifest', silent, { hasOlderAnswer: false, ...options });
    const ended = expect(answer).rejects.toMatchObject({ name: 'UpstreamError', failure: 'unreachable' });
    void ended.then(() => (isOver = true));
    await vi.advanceTimersByTimeAsync(justBefore);
    expect(isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await ended;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('has that time over all of its tries and pauses', async () => {
    useFakeTimers();
    const tries: number[] = [];
    const slowly = (until: AbortSignal) => {
      tries.push(Date.now());
      return new Promise<never>((_resolve, reject) => {
        setTimeout(() => reject(new UpstreamError('unreachable', 'after ten seconds')), 10_000);
        until.addEventListener('abort', () => reject(until.reason as Error));
      });
    };
    const { ask } = asking();
    const startedAt = Date.now();
    const ended = expect(ask('manifest', slowly)).rejects.toThrow('no answer within 25 s');
    await vi.advanceTimersByTimeAsync(25_000);
    await ended;
    expect(tries.map((at) => at - startedAt)).toEqual([0, 10_000, 20_000]);
  });

  it('ends with the process, also in a pause', async () => {
    const ending = new AbortController();
    const { ask } = asking({ signal: ending.signal });
    const asked = ask('manifest', silent);
    const pausing = Promise.withResolvers<undefined>();
    const { ask: askLater } = asking({
      signal: ending.signal,
      pause: (_ms, signal) => {
        pausing.resolve(undefined);
        return silent(signal);
      },
    });
    const paused = askLater('manifest', failing('unreachable', 1).question);
    await pausing.promise;
    const reason = new UpstreamError('offline', 'the mirror is shutting down');
    ending.abort(reason);
    await expect(asked).rejects.toBe(reason);
    await expect(paused).rejects.toBe(reason);
  });
});
