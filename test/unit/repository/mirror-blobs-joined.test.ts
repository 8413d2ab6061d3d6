import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { UpstreamError, type UpstreamBlob } from '../../../src/upstream/upstream.ts';
import { openBlobMirror, readAll, repositoryKey, upstreamOf } from '../../support/blob-mirror.ts';
import { randomBytes } from '../../support/images.ts';

const bytes = randomBytes('joined', 100_000);
const digest = digestOf(bytes);
const contents = new Map<Digest, Buffer>([[digest, bytes]]);
const [OTHERS, OURS] = [repositoryKey('somebody/else'), repositoryKey('team/one')];

/** Answers for one repository when it is told what, and for all others at once. */
function deciding() {
  const decision = Promise.withResolvers<UpstreamBlob | undefined>();
  const asked: string[] = [];
  const honest = upstreamOf(contents);
  const upstream = upstreamOf(contents, {
    fetchBlob: (name, ...question) => {
      asked.push(name);
      return name === OTHERS.name ? decision.promise : honest.fetchBlob(name, ...question);
    },
  });
  return { asked, decision, upstream };
}

describe('A client that joins the download of another repository', () => {
  afterEach(() => vi.useRealTimers());

  it.each([
    ['has no such blob', () => undefined],
    ['is denied', () => Promise.reject(new UpstreamError('denied', '401'))],
  ])('gets the blob although it turns out that the other %s', async (_title, decide) => {
    const { asked, decision, upstream } = deciding();
    await using cache = await openBlobMirror({ upstream });
    const theirs = readAll(cache.mirror, OTHERS, digest);
    await expect.poll(() => asked).toEqual([OTHERS.name]);
    const ours = readAll(cache.mirror, OURS, digest);
    await expect.poll(() => cache.downloads.find(digest)?.isFor(OURS)).toBe(true);
    decision.resolve(decide());
    await expect(theirs).rejects.toMatchObject({ name: 'RegistryError' });
    expect((await ours).equals(bytes)).toBe(true);
    expect(asked).toEqual([OTHERS.name, OURS.name]);
  });

  it('waits no longer for both together than for one', async () => {
    const { asked, decision, upstream } = deciding();
    const silent = {
      ...upstream,
      fetchBlob: (...question: Parameters<typeof upstream.fetchBlob>) => {
        const [name, , , signal] = question;
        if (name === OTHERS.name) return upstream.fetchBlob(...question);
        asked.push(name);
        return new Promise<never>((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error));
        });
      },
    };
    await using cache = await openBlobMirror({ upstream: silent });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const theirs = readAll(cache.mirror, OTHERS, digest);
    const failed = Promise.allSettled([theirs]);
    while (asked.length < 1) await setImmediate();
    const ours = readAll(cache.mirror, OURS, digest);
    let isOver = false;
    const told = Promise.allSettled([ours]).then(([result]) => {
      isOver = true;
      return result;
    });
    while (!cache.downloads.find(digest)?.isFor(OURS)) await setImmediate();
    vi.advanceTimersByTime(20_000);
    decision.resolve(undefined);
    while (asked.length < 2) await setImmediate();
    vi.advanceTimersByTime(5000);
    for (let turns = 0; turns < 100; turns += 1) await setImmediate();
    expect(isOver).toBe(true);
    expect(await told).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } });
    await failed;
    vi.advanceTimersByTime(60_000);
  });
});
