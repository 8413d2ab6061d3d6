import { PassThrough as Pipe, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { SinkClosedError } from '../../../src/lib/outlet.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import type { UpstreamBlob } from '../../../src/upstream/upstream.ts';
import { UpstreamError } from '../../../src/upstream/upstream.ts';
import { openBlobMirror, readAll, repositoryKey, STAYING, upstreamOf } from '../../support/blob-mirror.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector } from '../../support/sinks.ts';

/** More than fits into the cache of these tests, and less. */
const [LARGE, SMALL, LIMIT] = [400_000, 100_000, 300_000];
const [one, other] = ['one', 'other'].map((seed) => randomBytes(`passing ${seed}`, LARGE)) as [
  Buffer,
  Buffer,
];
const small = randomBytes('small', SMALL);
const contents = new Map<Digest, Buffer>([one, other, small].map((bytes) => [digestOf(bytes), bytes]));
const REPOSITORY = repositoryKey('team/one');

/** Sends what is small at once, and what is large when it is told to. */
function heldBack() {
  const asked: { readonly digest: Digest; readonly body: Pipe; send(): void }[] = [];
  const upstream = upstreamOf(contents, {
    fetchBlob: (_repository, digest) => {
      const bytes = contents.get(digest)!;
      const size = bytes.length;
      if (size === SMALL) return Promise.resolve({ size, offset: 0, body: Readable.from([bytes]) });
      const body = new Pipe();
      body.on('error', () => undefined);
      asked.push({ digest, body, send: () => void body.end(bytes) });
      return Promise.resolve({ size, offset: 0, body });
    },
  });
  return { asked, upstream };
}

describe('A blob that finds no room', () => {
  it('costs no place and no connection once nobody is left who wants it', async () => {
    const answer = Promise.withResolvers<UpstreamBlob>();
    const body = new Pipe();
    body.on('error', () => undefined);
    const upstream = upstreamOf(contents, { fetchBlob: () => answer.promise });
    await using cache = await openBlobMirror({ upstream, limitBytes: LIMIT, places: 1 });
    const gone = new AbortController();
    const asked = cache.mirror.open(REPOSITORY, digestOf(one), { client: 'a', left: gone.signal });
    await expect.poll(() => cache.downloads.find(digestOf(one))?.isQueued).toBe(false);
    gone.abort(new SinkClosedError());
    await expect(asked).rejects.toBeInstanceOf(SinkClosedError);
    answer.resolve({ size: LARGE, offset: 0, body });
    await expect.poll(() => cache.downloads.count).toBe(0);
    expect(body.destroyed).toBe(true);
    expect(cache.places.taken).toBe(0);
  });

  it('costs none either where the last one leaves just as the answer comes', async () => {
    const { asked, upstream } = heldBack();
    await using cache = await openBlobMirror({ upstream, limitBytes: LIMIT, places: 1 });
    const order = { upstream, repository: REPOSITORY, digest: digestOf(one), client: 'a' };
    const download = cache.downloads.start(order);
    const wish = download.want();
    await download.settled;
    expect(cache.places.taken).toBe(1);
    wish[Symbol.dispose]();
    expect(asked[0]!.body.destroyed).toBe(true);
    expect(cache.places.taken).toBe(0);
  });

  it('leaves places to others, however slow its clients are', async () => {
    const { asked, upstream } = heldBack();
    await using cache = await openBlobMirror({ upstream, limitBytes: LIMIT, places: 2, passingPlaces: 1 });
    const first = readAll(cache.mirror, REPOSITORY, digestOf(one));
    await expect.poll(() => asked.length).toBe(1);
    const second = readAll(cache.mirror, REPOSITORY, digestOf(other));
    await expect.poll(() => asked.length).toBe(2);
    expect((await readAll(cache.mirror, REPOSITORY, digestOf(small))).equals(small)).toBe(true);
    // Its answer had to go: it is asked for again in its turn.
    expect(asked[1]!.body.destroyed).toBe(true);
    asked[0]!.send();
    expect((await first).equals(one)).toBe(true);
    await expect.poll(() => asked.length).toBe(3);
    asked[2]!.send();
    expect((await second).equals(other)).toBe(true);
    await expect.poll(() => cache.places.taken).toBe(0);
  });

  it('tells each client what upstream says, before any byte of an answer', async () => {
    let isAsked = false;
    const body = new Pipe();
    const upstream = upstreamOf(contents, {
      fetchBlob: () => {
        if (isAsked)
          return Promise.reject(new UpstreamError('rate-limited', '429', { retryAfterSeconds: 7 }));
        isAsked = true;
        return Promise.resolve({ size: LARGE, offset: 0, body });
      },
    });
    await using cache = await openBlobMirror({ upstream, limitBytes: LIMIT });
    const opened = await Promise.allSettled([
      cache.mirror.open(REPOSITORY, digestOf(one), STAYING),
      cache.mirror.open(REPOSITORY, digestOf(one), STAYING),
    ]);
    expect(opened[1]).toMatchObject({
      status: 'rejected',
      reason: { code: 'TOOMANYREQUESTS', retryAfterSeconds: 7 },
    });
    if (opened[0].status === 'rejected') throw opened[0].reason as Error;
    const { content } = opened[0].value;
    const sink = new Collector();
    body.end(one);
    await content.sendTo(sink);
    await content.close();
    expect(sink.bytes.equals(one)).toBe(true);
  });

  it('comes whole to its clients, although an earlier download had left a part of it here', async () => {
    const bytes = randomBytes('in parts', 2_000_000);
    const digest = digestOf(bytes);
    const offsets: number[] = [];
    const first = new Pipe();
    const upstream = upstreamOf(contents, {
      fetchBlob: (_repository, _digest, offset) => {
        offsets.push(offset);
        const body = offsets.length === 1 ? first : Readable.from([bytes.subarray(offset)]);
        return Promise.resolve({ size: bytes.length, offset, body });
      },
    });
    await using cache = await openBlobMirror({ upstream, whenAbandoned: 'stop' });
    const { content } = await cache.mirror.open(REPOSITORY, digest, STAYING);
    first.write(bytes.subarray(0, 1_500_000));
    await expect.poll(() => cache.events.some(({ kind }) => kind === 'fetched')).toBe(true);
    await content.close();
    await expect.poll(() => cache.downloads.count).toBe(0);

    using _others = await cache.space.reserve(9_000_000);
    expect((await readAll(cache.mirror, REPOSITORY, digest)).equals(bytes)).toBe(true);
    expect(offsets).toEqual([0, 1_500_000, 0]);
  });
});
