import { describe, expect, it } from 'vitest';
import {
  formatReference,
  isRepositoryName,
  isTag,
  parseReference,
  parseRepositoryName,
} from '../../../src/oci/reference.ts';

const SHA256 = `sha256:${'ab'.repeat(32)}`;

describe('parseRepositoryName', () => {
  it.each([
    'a',
    '0',
    'alpine',
    'library/alpine',
    'a/b/c/d/e/f/g/h',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a----b',
    'a.b_c__d-e--f/0.1',
    'manifests',
    'blobs/uploads',
    'v2/tags/list',
    'ghcr.io/owner/name',
    'x'.repeat(255),
    `${'a/'.repeat(127)}a`,
  ])('takes %j', (name) => {
    expect(parseRepositoryName(name)).toBe(name);
    expect(isRepositoryName(name)).toBe(true);
  });

  it.each([
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    'A',
    'library/Alpine',
    '.a',
    'a.',
    'a..b',
    '-a',
    'a-',
    '_a',
    'a_',
    'a___b',
    'a._b',
    'a-_b',
    'a.-b',
    '..',
    '../a',
    'a/../b',
    'a/./b',
    'a/..',
    'a b',
    'a\n',
    'a\0b',
    'a%2fb',
    'a:b',
    'localhost:5000/a',
    'a@b',
    'a\\b',
    'a+b',
    'á',
    '_catalog',
    'x'.repeat(256),
    `${'a/'.repeat(128)}a`,
  ])('refuses %j', (name) => {
    expect(isRepositoryName(name)).toBe(false);
    expect(() => parseRepositoryName(name)).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID', status: 400 }),
    );
  });

  // One that backtracks would take longer than the age of the universe.
  it('refuses a long name that nearly matches, at once', () => {
    expect(isRepositoryName(`${'a-'.repeat(127)}!`)).toBe(false);
    expect(isRepositoryName(`${'a_'.repeat(100)}__!`)).toBe(false);
    expect(isRepositoryName('a'.repeat(10_000_000))).toBe(false);
  });
});

describe('parseReference', () => {
  it.each([
    'latest',
    '3',
    '3.20',
    'v1.0.0-rc.1',
    '_',
    '_x',
    'A',
    'a.',
    'a-',
    'a..b',
    'a__b',
    `sha256-${'ab'.repeat(32)}`,
    `sha256-${'ab'.repeat(32)}.sig`,
    'list',
    'uploads',
    'x'.repeat(128),
  ])('takes %j for a tag', (tag) => {
    expect(parseReference(tag)).toEqual({ kind: 'tag', tag });
    expect(isTag(tag)).toBe(true);
  });

  it.each(['', '.', '..', '.a', '-a', 'a b', 'a/b', 'a+b', 'a@b', 'á', 'a\n', 'a\0', 'a%', 'x'.repeat(129)])(
    'refuses %j for a tag',
    (tag) => {
      expect(isTag(tag)).toBe(false);
      expect(() => parseReference(tag)).toThrow(
        expect.objectContaining({ code: 'TAG_INVALID', status: 400 }),
      );
    },
  );

  it.each([SHA256, `sha512:${'ab'.repeat(64)}`])('takes %s for a digest', (digest) => {
    expect(parseReference(digest)).toEqual({ kind: 'digest', digest });
  });

  it.each([
    'sha256:totallywrong',
    'sha256:',
    ':',
    'a:b',
    `${SHA256}0`,
    `sha384:${'ab'.repeat(48)}`,
    'latest:',
  ])('takes %j, which has a colon, for a digest that is wrong', (text) => {
    expect(() => parseReference(text)).toThrow(
      expect.objectContaining({ code: 'DIGEST_INVALID', status: 400 }),
    );
  });

  it.each(['latest', SHA256])('is written again as it was: %s', (text) => {
    expect(formatReference(parseReference(text))).toBe(text);
  });
});
