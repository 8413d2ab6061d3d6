import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseRepositoryName } from '../../../src/oci/reference.ts';
import { asker } from '../../../src/repository/ask.ts';
import { Mirror } from '../../../src/repository/mirror.ts';
import { openBlobMirror, upstreamOf } from '../../support/blob-mirror.ts';

describe('Mirror.referrers', () => {
  afterEach(() => vi.useRealTimers());

  it('waits no longer for the API and the tag that stands in for it than for one answer', async () => {
    const listed = Promise.withResolvers<undefined>();
    const asked: string[] = [];
    const upstream = upstreamOf(new Map(), {
      listReferrers: () => {
        asked.push('API');
        return listed.promise;
      },
      resolve: (_repository, _reference, signal) => {
        asked.push('tag');
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      },
    });
    await using cache = await openBlobMirror({ upstream });
    const pause = () => Promise.resolve();
    const ignore = () => undefined;
    const mirror = new Mirror(
      {
        ...cache,
        ...{ now: Date.now, tagTtlMs: 60_000, tagStaleForMs: Infinity },
        ask: asker({ signal: new AbortController().signal, pause, onRejected: ignore }),
        ...{ touch: ignore, onLost: ignore, onUnreadable: ignore, onFetched: ignore },
      },
      upstream,
    );
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const repository = mirror.repository(parseRepositoryName('team/one'));
    const results: unknown[] = [];
    void repository
      .referrers(digestOf(Buffer.from('subject')))
      .catch((error: unknown) => results.push(error));
    while (asked.length < 1) await setImmediate();
    vi.advanceTimersByTime(20_000);
    listed.resolve(undefined);
    while (asked.length < 2) await setImmediate();
    vi.advanceTimersByTime(5000);
    for (let turns = 0; turns < 100 && results.length === 0; turns += 1) await setImmediate();
    expect(results).toEqual([expect.objectContaining({ code: 'UNAVAILABLE' })]);
    vi.advanceTimersByTime(60_000);
  });
});
