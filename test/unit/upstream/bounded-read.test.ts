import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { readBounded } from '../../../src/upstream/bounded-read.ts';
import { inOnePlace } from '../../support/bodies.ts';

const chunks = (...texts: string[]) => inOnePlace(texts.map((text) => Buffer.from(text)));

describe('readBounded', () => {
  it('reads a body that is as long as allowed', async () => {
    const { bytes, isComplete } = await readBounded(chunks('ab', 'cd'), 4);
    expect(bytes.toString()).toBe('abcd');
    expect(isComplete).toBe(true);
  });

  it('gives the beginning of a longer one, and the rest up', async () => {
    const body = chunks('ab', 'cde', 'never');
    const { bytes, isComplete } = await readBounded(body, 4);
    expect(bytes.toString()).toBe('abcd');
    expect(isComplete).toBe(false);
    expect(body.destroyed).toBe(true);
  });

  it('reads no more than it needs to know that there is too much', async () => {
    let given = 0;
    const endless = Readable.from(
      (function* () {
        for (;;) {
          given += 1;
          yield Buffer.alloc(1000);
        }
      })(),
      { highWaterMark: 1 },
    );
    await readBounded(endless, 10_000);
    expect(given).toBeLessThan(20);
  });

  it('fails as the body does', async () => {
    const broken = new Error('broken');
    const body = new Readable({ read: () => undefined });
    body.push('ab');
    const reading = readBounded(body, 10);
    body.destroy(broken);
    await expect(reading).rejects.toBe(broken);
  });
});
