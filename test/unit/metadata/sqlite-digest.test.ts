import { describe, expect, it } from 'vitest';
import { decodeDigest, encodeDigest } from '../../../src/metadata/sqlite-digest.ts';
import { digestOf } from '../../../src/oci/digest.ts';

describe('digests in the index', () => {
  it('take one byte more than their hash, and come back the same', () => {
    for (const [algorithm, bytes] of [
      ['sha256', 33],
      ['sha512', 65],
    ] as const) {
      const digest = digestOf(Buffer.from('content'), algorithm);
      const key = encodeDigest(digest);
      expect(key).toHaveLength(bytes);
      expect(decodeDigest(key)).toBe(digest);
    }
  });

  it('are refused where the bytes are none', () => {
    expect(() => decodeDigest(Buffer.alloc(0))).toThrow(/broken digest/);
    expect(() => decodeDigest(Buffer.alloc(33, 9))).toThrow(/broken digest/);
    expect(() => decodeDigest(Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]))).toThrow(/broken digest/);
  });
});
