import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  algorithmOf,
  DigestHasher,
  digestOf,
  hexOf,
  isDigest,
  parseDigest,
} from '../../../src/oci/digest.ts';
import { RegistryError } from '../../../src/oci/errors.ts';

const HEX = '0123456789abcdef'.repeat(4);
const SHA256 = `sha256:${HEX}`;
const SHA512 = `sha512:${HEX}${HEX}`;

describe('parseDigest', () => {
  it.each([SHA256, SHA512])('takes %s as it is', (text) => {
    expect(parseDigest(text)).toBe(text);
    expect(isDigest(text)).toBe(true);
  });

  it.each([
    ['', 'nothing'],
    ['sha256:', 'no digits'],
    [HEX, 'no algorithm'],
    ['sha256:totallywrong', 'no digits of hex, as the conformance suite asks'],
    ['sha256:baddigeststring', 'no digits of hex, as the newer suite asks'],
    [`sha256:${HEX.slice(1)}`, 'a digit too few'],
    [`sha256:${HEX}0`, 'a digit too many'],
    [`sha512:${HEX}`, 'the digits of sha256'],
    [`sha256:${HEX}${HEX}`, 'the digits of sha512'],
    [`sha256:${HEX.toUpperCase()}`, 'upper case'],
    [`SHA256:${HEX}`, 'an algorithm in upper case'],
    [`sha384:${HEX}${HEX.slice(32)}`, 'an algorithm that is not registered'],
    [`md5:${HEX.slice(32)}`, 'an algorithm that proves nothing'],
    [`sha256+b64:${HEX}`, 'a compound algorithm'],
    [`sha256-${HEX}`, 'the form of a fallback tag'],
    [`${SHA256}\n`, 'a line break at the end'],
    [`\n${SHA256}`, 'a line break at the start'],
    [` ${SHA256}`, 'a space'],
    [`${SHA256}\0`, 'a NUL'],
    [`sha256:../../../${HEX.slice(9)}`, 'a way up'],
    [`sha256:${HEX.slice(1)}é`, 'a letter that is no ASCII'],
    [`sha256:${HEX.slice(1)}\u0661`, 'a digit that is no ASCII'],
  ])('refuses %j: %s', (text) => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID', status: 400 }));
  });

  it('repeats only the start of what was sent', () => {
    let error: unknown;
    try {
      parseDigest('x'.repeat(10_000));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(RegistryError);
    expect(JSON.stringify((error as RegistryError).toWire()).length).toBeLessThan(500);
  });
});

describe('the parts of a digest', () => {
  it.each([
    [SHA256, 'sha256', HEX],
    [SHA512, 'sha512', HEX + HEX],
  ])('of %s', (text, algorithm, hex) => {
    expect(algorithmOf(parseDigest(text))).toBe(algorithm);
    expect(hexOf(parseDigest(text))).toBe(hex);
  });
});

describe('digestOf', () => {
  // The examples of the OCI image-spec: the empty descriptor `{}`, and nothing at all.
  it.each([
    ['{}', 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'],
    ['', 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ])('of %j is %s', (text, digest) => {
    expect(digestOf(Buffer.from(text))).toBe(digest);
  });

  it('may be of another algorithm', () => {
    const hex = createHash('sha512').update('{}').digest('hex');
    expect(digestOf(Buffer.from('{}'), 'sha512')).toBe(`sha512:${hex}`);
  });
});

describe('DigestHasher', () => {
  it.each(['sha256', 'sha512'] as const)(
    'hashes with the algorithm of the digest expected: %s',
    (algorithm) => {
      const expected = digestOf(Buffer.from('abcdef'), algorithm);
      const hasher = new DigestHasher(expected);
      for (const chunk of ['ab', '', 'cde', 'f']) hasher.update(Buffer.from(chunk));
      expect(hasher.digest()).toBe(expected);
    },
  );

  it('tells other bytes apart', () => {
    const expected = digestOf(Buffer.from('abcdef'));
    const hasher = new DigestHasher(expected);
    hasher.update(Buffer.from('abcdeF'));
    expect(hasher.digest()).not.toBe(expected);
  });
});
