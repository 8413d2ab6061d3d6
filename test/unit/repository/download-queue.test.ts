import { PassThrough as Pipe, Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { SinkClosedError } from '../../../src/lib/outlet.ts';
import { digestOf, type Digest } from '../../../src/oci/digest.ts';
import { UpstreamError, type Upstream } from '../../../src/upstream/upstream.ts';
import { openBlobMirror, readAll, repositoryKey, STAYING, upstreamOf } from '../../support/blob-mirror.ts';
import { randomBytes } from '../../support/images.ts';

const SIZE = 3_000_000;
const blobs = [0, 1, 2, 3].map((index) => randomBytes(`queue ${index}`, SIZE));
const digests = blobs.map((bytes) => digestOf(bytes));
const REPOSITORY = repositoryKey('team/one');

/** Says how large each blob is at once, and sends it when it is told to. */
function heldBack() {
  const asked: { readonly digest: Digest; readonly offset: number; readonly body: Pipe }[] = [];
  const upstream: Upstream = upstreamOf(new Map(), {
    fetchBlob: (_repository, digest, offset) => {
      const body = new Pipe();
      asked.push({ digest, offset, body });
      return Promise.resolve({ size: SIZE, offset, body });
    },
  });
  const send = (index: number, end = SIZE) => {
    const { digest, offset, body } = asked[index]!;
    body.write(blobs[digests.indexOf(digest)]!.subarray(offset, end));
    if (end === SIZE) body.end();
  };
  return { asked, upstream, send };
}

function leaving() {
  const gone = new AbortController();
  return {
    requester: { client: '192.0.2.9', left: gone.signal },
    leave: () => gone.abort(new SinkClosedError()),
  };
}

describe('Downloads that have to wait', () => {
  it('run no more at once than they may, and all of them in the end', async () => {
    const { asked, upstream, send } = heldBack();
    await using cache = await openBlobMirror({ upstream, places: 2 });
    const reads = digests.map((digest) => readAll(cache.mirror, REPOSITORY, digest));
    await expect.poll(() => asked.length).toBe(2);
    expect(cache.downloads.count).toBe(4);
    for (let index = 0; index < 4; index += 1) {
      await expect.poll(() => asked.length).toBeGreaterThan(index);
      expect(asked.length).toBeLessThanOrEqual(index + 2);
      send(index);
      await reads[digests.indexOf(asked[index]!.digest)];
    }
    const read = await Promise.all(reads);
    expect(read.every((bytes, index) => bytes.equals(blobs[index]!))).toBe(true);
  });

  it('let a client with one blob take its turn before the rest of one with many', async () => {
    const { asked, upstream, send } = heldBack();
    await using cache = await openBlobMirror({ upstream, places: 1 });
    const order = (index: number, client: string) =>
      cache.downloads.start({ upstream, repository: REPOSITORY, digest: digests[index]!, client });
    const wishes = [order(0, 'greedy'), order(1, 'greedy'), order(2, 'greedy'), order(3, 'modest')];
    for (let index = 0; index < 4; index += 1) {
      await expect.poll(() => asked.length).toBe(index + 1);
      send(index);
    }
    await Promise.all(wishes.map(({ settled }) => settled));
    expect(asked.map(({ digest }) => digests.indexOf(digest))).toEqual([0, 1, 3, 2]);
  });

  it('are given up while they wait, once nobody wants them', async () => {
    const { asked, upstream, send } = heldBack();
    await using cache = await openBlobMirror({ upstream, places: 1 });
    const first = readAll(cache.mirror, REPOSITORY, digests[0]!);
    await expect.poll(() => asked.length).toBe(1);
    const { requester, leave } = leaving();
    const waiting = cache.mirror.open(REPOSITORY, digests[1]!, requester);
    await expect.poll(() => cache.downloads.count).toBe(2);
    leave();
    await expect(waiting).rejects.toBeInstanceOf(SinkClosedError);
    await expect.poll(() => cache.downloads.count).toBe(1);
    send(0);
    await first;
    expect(asked.length).toBe(1);
    expect(cache.events).toContainEqual(expect.objectContaining({ kind: 'ended', outcome: 'abandoned' }));
  });
});

describe('A place among the downloads', () => {
  it('is given back by one that fails, and by one of a blob that does not exist', async () => {
    const failing: readonly Partial<Upstream>[] = [
      { fetchBlob: () => Promise.reject(new UpstreamError('denied', 'no')) },
      { fetchBlob: () => Promise.resolve(undefined) },
      {
        fetchBlob: () =>
          Promise.resolve({ size: SIZE, offset: 0, body: Readable.from([Buffer.alloc(SIZE, 'x')]) }),
      },
    ];
    const { asked, upstream, send } = heldBack();
    await using cache = await openBlobMirror({ upstream, places: 1 });
    for (const fetched of failing) {
      const order = { repository: REPOSITORY, digest: digests[0]!, client: 'a' };
      await cache.downloads.start({ ...order, upstream: upstreamOf(new Map(), fetched) }).settled;
    }
    const read = readAll(cache.mirror, REPOSITORY, digests[1]!);
    await expect.poll(() => asked.length).toBe(1);
    send(0);
    expect((await read).equals(blobs[1]!)).toBe(true);
  });

  it('is not waited for when the process ends', async () => {
    const { asked, upstream } = heldBack();
    await using cache = await openBlobMirror({ upstream, places: 1 });
    const orders = [0, 1, 2].map((index) =>
      cache.downloads.start({ upstream, repository: REPOSITORY, digest: digests[index]!, client: 'a' }),
    );
    await expect.poll(() => asked.length).toBe(1);
    await cache.downloads.close(AbortSignal.abort());
    await Promise.all(orders.map(({ settled }) => settled));
    expect(asked.length).toBe(1);
    expect(asked[0]!.body.destroyed).toBe(true);
    const ends = cache.events.filter(({ kind }) => kind === 'ended');
    expect(ends).toMatchObject(Array.from({ length: 3 }, () => ({ outcome: 'aborted' })));
  });

  it('that does not come in time is refused to the client, who hears when to come again', async () => {
    const { asked, upstream, send } = heldBack();
    await using cache = await openBlobMirror({ upstream, places: 1 });
    const first = readAll(cache.mirror, REPOSITORY, digests[0]!);
    await expect.poll(() => asked.length).toBe(1);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const refused = expect(cache.mirror.open(REPOSITORY, digests[1]!, STAYING)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      status: 503,
      retryAfterSeconds: 5,
    });
    while (cache.downloads.count < 2) await setImmediate();
    vi.advanceTimersByTime(25_000);
    await refused;
    vi.useRealTimers();
    expect(asked.length).toBe(1);
    send(0);
    expect((await first).equals(blobs[0]!)).toBe(true);
  });
});

describe('A download whose last client has left', () => {
  it('goes on to its end', async () => {
    const { asked, upstream } = heldBack();
    await using cache = await openBlobMirror({ upstream });
    const { content } = await cache.mirror.open(REPOSITORY, digests[0]!, STAYING);
    asked[0]!.body.write(blobs[0]!.subarray(0, 1000));
    await content.close();
    asked[0]!.body.end(blobs[0]!.subarray(1000));
    await expect.poll(() => cache.downloads.count).toBe(0);
    expect(cache.events.at(-1)).toMatchObject({ kind: 'ended', outcome: 'stored' });
    expect((await readAll(cache.mirror, REPOSITORY, digests[0]!)).equals(blobs[0]!)).toBe(true);
    expect(asked.length).toBe(1);
  });

  it('stops where that is wanted, and goes on from there for the next one', async () => {
    const { asked, upstream, send } = heldBack();
    await using cache = await openBlobMirror({ upstream, whenAbandoned: 'stop' });
    const one = await cache.mirror.open(REPOSITORY, digests[0]!, STAYING);
    const other = await cache.mirror.open(REPOSITORY, digests[0]!, STAYING);
    send(0, 2_000_000);
    await expect.poll(() => fetched(cache.events)).toBe(2_000_000);
    await one.content.close();
    expect(asked[0]!.body.destroyed).toBe(false);
    await other.content.close();
    await expect.poll(() => asked[0]!.body.destroyed).toBe(true);

    const read = readAll(cache.mirror, REPOSITORY, digests[0]!);
    await expect.poll(() => asked.length).toBe(2);
    expect(asked[1]!.offset).toBe(2_000_000);
    send(1);
    expect((await read).equals(blobs[0]!)).toBe(true);
    expect(cache.events).toContainEqual({ kind: 'resumed', digest: digests[0], offset: 2_000_000 });
    expect(cache.events).toContainEqual(expect.objectContaining({ kind: 'ended', outcome: 'abandoned' }));
  });
});

function fetched(events: readonly { readonly kind: string; readonly bytes?: number }[]): number {
  return events.reduce((sum, { kind, bytes = 0 }) => sum + (kind === 'fetched' ? bytes : 0), 0);
}
