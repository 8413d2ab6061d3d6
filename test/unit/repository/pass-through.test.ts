import { PassThrough as Pipe, Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ContentMismatchError } from '../../../src/blobs/spool.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { PassThrough, type PassThroughSource } from '../../../src/repository/pass-through.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector } from '../../support/sinks.ts';

const SIZE = 300_000;
const bytes = randomBytes('pass', SIZE);
const digest = digestOf(bytes);

/** In pieces that no boundary of a test falls on. */
function bodyOf(sent: Buffer): Readable {
  const pieces: Buffer[] = [];
  for (let start = 0; start < sent.length; start += 7001) pieces.push(sent.subarray(start, start + 7001));
  return Readable.from(pieces, { objectMode: false });
}

function passing(sent: Buffer, more: Partial<PassThroughSource> = {}): PassThrough {
  const fetch = () => Promise.resolve({ size: undefined, offset: 0, body: bodyOf(sent) });
  return new PassThrough({ digest, size: SIZE, fetch, onBytes: () => undefined, ...more });
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
      await expect(passing(bytes, { size }).sendTo(sink)).rejects.toBeInstanceOf(ContentMismatchError);
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
    const source = passing(bytes, { fetch: () => Promise.resolve({ size: SIZE, offset: 0, body }) });
    const sink = new Collector();
    const sent = source.sendTo(sink);
    body.write(bytes.subarray(0, 1000));
    await expect.poll(() => sink.bytes.length).toBe(999);
    sink.destroy();
    await expect(sent).rejects.toThrow();
    expect(body.destroyed).toBe(true);
  });

  it('closes an answer of upstream that nobody has read', async () => {
    const body = new Pipe();
    await passing(bytes, { first: { size: SIZE, offset: 0, body } }).close();
    expect(body.destroyed).toBe(true);
  });
});
