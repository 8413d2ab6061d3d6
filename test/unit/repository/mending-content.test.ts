import type { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BlobReadError, type BlobContent } from '../../../src/blobs/blob-store.ts';
import type { ByteRange } from '../../../src/lib/byte-range.ts';
import { MendingContent } from '../../../src/repository/mending-content.ts';
import { randomBytes } from '../../support/images.ts';
import { Collector } from '../../support/sinks.ts';

const SIZE = 10_000;
const bytes = randomBytes('mending', SIZE);

class Content implements BlobContent {
  readonly size: number | undefined;
  closed = 0;
  readonly #readable: number;

  /** @param readable bytes, before one that can't be read */
  constructor(size: number | undefined, readable = SIZE) {
    this.size = size;
    this.#readable = readable;
  }

  sendTo(sink: Writable, { start, end }: ByteRange = { start: 0, end: SIZE }): Promise<void> {
    sink.write(bytes.subarray(start, Math.min(end, this.#readable)));
    if (end <= this.#readable) return Promise.resolve();
    return Promise.reject(new BlobReadError(this.#readable, { cause: new Error('EIO') }));
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}

async function mended(other: Content, range?: ByteRange): Promise<Buffer> {
  const sink = new Collector();
  const content = new MendingContent(new Content(SIZE, 4000), () => Promise.resolve(other));
  try {
    await content.sendTo(sink, range);
  } finally {
    await content.close();
  }
  expect(other.closed).toBe(1);
  return sink.bytes;
}

describe('MendingContent', () => {
  it('goes on elsewhere from the first byte that can not be read, to the end of what was asked for', async () => {
    expect((await mended(new Content(SIZE))).equals(bytes)).toBe(true);
    const range = { start: 100, end: 9000 };
    expect((await mended(new Content(SIZE), range)).equals(bytes.subarray(100, 9000))).toBe(true);
  });

  it('goes on where upstream does not say how large the blob is', async () => {
    expect((await mended(new Content(undefined))).equals(bytes)).toBe(true);
  });

  it('breaks off where the other blob has another size', async () => {
    const other = new Content(SIZE + 1);
    await expect(mended(other)).rejects.toBeInstanceOf(BlobReadError);
    expect(other.closed).toBe(1);
  });
});
