import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { BufferPool, sendChunk } from '../../../src/blobs/buffers.ts';
import { Outlet } from '../../../src/lib/outlet.ts';
import { movableClock } from '../../support/clock.ts';
import { randomBytes } from '../../support/images.ts';
import { tempDir } from '../../support/temp-dir.ts';

const KIB = 1024;

describe('sendChunk', () => {
  it('sends 512 KiB at a time, 32 KiB to a receiver that lets it wait, and 512 KiB again when it no longer does', async () => {
    await using directory = await tempDir();
    const path = join(directory.path, 'file');
    const bytes = randomBytes('chunks', 6 * KIB * KIB + 1);
    await writeFile(path, bytes);
    await using file = await open(path);

    const clock = movableClock();
    const lengths: number[] = [];
    const received: Buffer[] = [];
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        lengths.push(chunk.length);
        received.push(Buffer.from(chunk)); // The sender uses its buffer again.
        if (lengths.length === 2) clock.pass(60_000);
        done();
      },
    });
    using outlet = new Outlet(sink, clock.now);
    const buffers = new BufferPool();
    for (let position = 0; position < bytes.length;) {
      position += await sendChunk(file, outlet, buffers, position, bytes.length);
    }

    const large = (count: number) => Array.from({ length: count }, () => 512 * KIB);
    const small = (count: number) => Array.from({ length: count }, () => 32 * KIB);
    expect(lengths).toEqual([...large(2), ...small(128), ...large(2), 1]);
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
  });
});

describe('BufferPool', () => {
  it('gives out again what it was given, each size to whom it fits', () => {
    const pool = new BufferPool();
    const [large, small] = [pool.take(false), pool.take(true)];
    expect([large.length, small.length]).toEqual([512 * KIB, 32 * KIB]);
    pool.give(large);
    pool.give(small);
    expect(pool.take(true)).toBe(small);
    expect(pool.take(false)).toBe(large);
    expect(pool.take(false)).not.toBe(large);
  });

  it('has only so many large ones at once, and medium ones beyond', () => {
    const pool = new BufferPool({ maxLarge: 1 });
    const [first, second] = [pool.take(false), pool.take(false)];
    expect([first.length, second.length]).toEqual([512 * KIB, 128 * KIB]);
    pool.give(second);
    expect(pool.take(false)).toBe(second);
    pool.give(first);
    expect(pool.take(false)).toBe(first);
  });

  it('keeps no more than so many of those that are not large', () => {
    const pool = new BufferPool({ maxLarge: 1 });
    const given = [pool.take(true), pool.take(true), pool.take(true)];
    for (const buffer of given) pool.give(buffer);
    const taken = new Set([pool.take(true), pool.take(true), pool.take(true)]);
    expect(given.filter((buffer) => taken.has(buffer))).toHaveLength(2);
  });
});
