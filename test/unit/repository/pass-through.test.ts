import { PassThrough as Pipe, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ContentMismatchError } from '../../../src/blobs/spool.ts';
import type { ByteSource } from '../../../src/lib/byte-source.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { BlobSource } from '../../../src/repository/blob-source.ts';
import { PassThrough, type PassThroughOptions } from '../../../src/repository/pass-through.ts';
import type { UpstreamBlob } from '../../../src/upstream/upstream.ts';
import { repositoryKey, upstreamOf } from '../../support/blob-mirror.ts';
import { inOnePlace } from '../../support/bodies.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector } from '../../support/sinks.ts';

const SIZE = 300_000;
const bytes = randomBytes('pass', SIZE);
const digest = digestOf(bytes);

/** In pieces that no boundary of a test falls on. */
function bodyOf(sent: Buffer): ByteSource {
  const pieces: Buffer[] = [];
  for (let start = 0; start < sent.length; start += 7001) pieces.push(sent.subarray(start, start + 7001));
  return inOnePlace(pieces);
}

function* cutAfter(sent: Buffer, count: number): Iterable<Buffer> {
  yield sent.subarray(0, count);
  if (count < sent.length) throw new Error('cut');
}

type Fetch = (offset: number) => UpstreamBlob;

function passing(fetch: Fetch | Buffer, more: Partial<PassThroughOptions> = {}): PassThrough {
  const answer: Fetch =
    typeof fetch === 'function' ? fetch : () => ({ size: undefined, offset: 0, body: bodyOf(fetch) });
  const upstream = upstreamOf(new Map(), {
    fetchBlob: (_repository, _digest, offset) => Promise.resolve(answer(offset)),
    statBlob: () => Promise.resolve({ size: undefined }),
  });
  const source = new BlobSource(
    { observe: () => undefined, pause: () => Promise.resolve() },
    { upstream, repository: repositoryKey('team/one'), digest, client: 'a' },
  );
  const enter = () => Promise.resolve({ [Symbol.dispose]: () => undefined });
  return new PassThrough({ source, size: SIZE, enter, ...more });
}

describe('PassThrough', () => {
  it('sends the whole, and any range of it', async () => {
    for (const range of [
      undefined,
      { start: 0, end: 1 },
      { start: 5, end: 100_000 },
      { start: SIZE - 1, end: SIZE },
    ]) {
      const sink = new Collector();
      await passing(bytes).sendTo(sink, range);
      expect(sink.bytes.equals(bytes.subarray(range?.start ?? 0, range?.end ?? SIZE))).toBe(true);
    }
  });

  it('keeps the last byte of what was asked for back where any byte is wrong, within it or not', async () => {
    const wrong = Buffer.from(bytes);
    wrong[200_000]! ^= 1;
    for (const range of [undefined, { start: 0, end: 1000 }]) {
      const sink = new Collector();
      await expect(passing(wrong).sendTo(sink, range)).rejects.toBeInstanceOf(ContentMismatchError);
      expect(sink.bytes.length).toBe((range?.end ?? SIZE) - 1);
    }
  });

  it('ends no answer well whose length is not the one that was announced', async () => {
    for (const size of [SIZE - 10, SIZE + 10]) {
      const sink = new Collector();
      await expect(passing(bytes, { size }).sendTo(sink)).rejects.toThrow();
      expect(sink.bytes.length).toBeLessThan(size);
    }
  });

  it('goes on after bytes that were sent from elsewhere only where they were these', async () => {
    const length = 123_456;
    const prefix = { length, digest: digestOf(bytes.subarray(0, length)) };
    const sink = new Collector();
    await passing(bytes, { prefix }).sendTo(sink, { start: length - 1, end: SIZE });
    expect(sink.bytes.equals(bytes.subarray(length - 1))).toBe(true);

    const other = { length, digest: digestOf(Buffer.from('other bytes')) };
    const refused = new Collector();
    const sent = passing(bytes, { prefix: other }).sendTo(refused, { start: length, end: SIZE });
    await expect(sent).rejects.toBeInstanceOf(ContentMismatchError);
    expect(refused.bytes.length).toBe(0);
  });

  it('lets go of upstream when its client leaves, even while upstream is silent', async () => {
    const body = new Pipe();
    body.on('error', () => undefined);
    const source = passing(() => ({ size: SIZE, offset: 0, body }));
    const sink = new Collector();
    const sent = source.sendTo(sink);
    body.write(bytes.subarray(0, 1000));
    await expect.poll(() => sink.bytes.length).toBe(999);
    sink.destroy();
    await expect(sent).rejects.toThrow();
    expect(body.destroyed).toBe(true);
  });

  it('goes on where a connection broke, however often, whether upstream does ranges or not', async () => {
    for (const doesRanges of [true, false]) {
      const offsets: number[] = [];
      const content = passing((offset) => {
        offsets.push(offset);
        const from = doesRanges ? offset : 0;
        const body = Readable.from(cutAfter(bytes.subarray(from), offset - from + 60_000), {
          objectMode: false,
        });
        return { size: SIZE, offset: from, body };
      });
      const sink = new Collector();
      await content.sendTo(sink, { start: 10, end: SIZE });
      expect(sink.bytes.equals(bytes.subarray(10))).toBe(true);
      expect(offsets).toEqual([0, 60_000, 120_000, 180_000, 240_000]);
    }
  });

  it('takes the end of a body without a length for a cut until the digest says that it is none', async () => {
    const content = passing(
      (offset) => ({ size: undefined, offset, body: bodyOf(bytes.subarray(offset, offset + 100_001)) }),
      { size: undefined },
    );
    const sink = new Collector();
    await content.sendTo(sink);
    expect(sink.bytes.equals(bytes)).toBe(true);
  });

  it('lets go of an answer of upstream that nobody has read', async () => {
    const body = new Pipe();
    const held = new DisposableStack();
    await passing(bytes, { begun: { blob: { size: SIZE, offset: 0, body }, held } }).close();
    expect(held.disposed).toBe(true);
  });
});
