import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { openBlobMirror, readAll, repositoryKey, upstreamOf } from '../../support/blob-mirror.ts';
import { randomBytes } from '../../support/images.ts';

const bytes = randomBytes('resumed', 100_000);
const digest = digestOf(bytes);
const REPOSITORY = repositoryKey('team/one');

function* cut(): Iterable<Buffer> {
  yield bytes.subarray(0, 40_000);
  throw new Error('cut');
}

describe('A download whose connection broke', () => {
  afterEach(() => vi.useRealTimers());

  it('does not wait for ever for an upstream that says nothing when it is asked for the rest', async () => {
    const offsets: number[] = [];
    const upstream = upstreamOf(new Map<Digest, Buffer>(), {
      fetchBlob: (_repository, _digest, offset, signal) => {
        offsets.push(offset);
        if (offsets.length === 2) {
          return new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason as Error));
          });
        }
        const body = Readable.from(offset === 0 ? cut() : [bytes.subarray(offset)], { objectMode: false });
        return Promise.resolve({ size: bytes.length, offset, body });
      },
    });
    await using cache = await openBlobMirror({ upstream });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const read = readAll(cache.mirror, REPOSITORY, digest);
    while (offsets.length < 2) await setImmediate();
    vi.advanceTimersByTime(25_000);
    expect((await read).equals(bytes)).toBe(true);
    expect(offsets).toEqual([0, 40_000, 40_000]);
  });
});
