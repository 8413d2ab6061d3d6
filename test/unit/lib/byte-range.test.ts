import { describe, expect, it } from 'vitest';
import { formatContentRange, parseContentRange, parseRange } from '../../../src/lib/byte-range.ts';

describe('parseRange', () => {
  // The cases of the OCI conformance suite, on a blob of 2048 bytes.
  it.each([
    ['bytes=500-1499', { start: 500, end: 1500 }],
    ['bytes=500-', { start: 500, end: 2048 }],
    ['bytes=-500', { start: 1548, end: 2048 }],
    ['bytes=2000-5000', { start: 2000, end: 2048 }],
    ['bytes=500-0', 'unsatisfiable'],
    ['bytes=5000-10000', 'unsatisfiable'],
  ])('as the OCI conformance suite wants it: %s', (header, range) => {
    expect(parseRange(header, 2048)).toEqual(range);
  });

  it.each([
    ['bytes=0-', 10, { start: 0, end: 10 }],
    ['bytes=0-0', 10, { start: 0, end: 1 }],
    ['bytes=9-9', 10, { start: 9, end: 10 }],
    ['bytes=9-', 10, { start: 9, end: 10 }],
    ['bytes=0-9', 10, { start: 0, end: 10 }],
    ['bytes=0-10', 10, { start: 0, end: 10 }],
    ['bytes=-1', 10, { start: 9, end: 10 }],
    ['bytes=-10', 10, { start: 0, end: 10 }],
    ['bytes=-11', 10, { start: 0, end: 10 }],
    ['bytes=0-99999999999999999999999999', 10, { start: 0, end: 10 }],
    ['bytes=-99999999999999999999999999', 10, { start: 0, end: 10 }],
    ['bytes=007-008', 10, { start: 7, end: 9 }],
    ['BYTES=1-2', 10, { start: 1, end: 3 }],
    ['bytes= 1-2 ', 10, { start: 1, end: 3 }],
  ])('%s of %d bytes', (header, size, range) => {
    expect(parseRange(header, size)).toEqual(range);
  });

  it.each([
    ['bytes=10-', 10],
    ['bytes=10-20', 10],
    ['bytes=5-4', 10],
    ['bytes=-0', 10],
    ['bytes=0-', 0],
    ['bytes=0-0', 0],
    ['bytes=-5', 0],
    [`bytes=${'9'.repeat(400)}-`, 10],
  ])('%s of %d bytes can not be had', (header, size) => {
    expect(parseRange(header, size)).toBe('unsatisfiable');
  });

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=--1',
    'bytes=1',
    'bytes=a-b',
    'bytes=1-b',
    'bytes=0x1-0x2',
    'bytes=1.5-2',
    'bytes=-1-2',
    'bytes=1 - 2',
    'bytes=+1-2',
    'items=0-1',
    'bytes=0-1,3-4',
    'bytes=0-1, -1',
    'bytes=0-,',
    'bytes=0-1\n,3-4',
    'xbytes=0-1',
  ])('%j means all of it', (header) => {
    expect(parseRange(header, 10)).toBeUndefined();
  });
});

describe('formatContentRange', () => {
  it.each([
    [{ start: 0, end: 1 }, 1, 'bytes 0-0/1'],
    [{ start: 500, end: 1500 }, 2048, 'bytes 500-1499/2048'],
    [{ start: 0, end: 2 ** 40 }, 2 ** 40, 'bytes 0-1099511627775/1099511627776'],
  ])('writes the last byte, inclusive, and the size in digits', (range, size, header) => {
    expect(formatContentRange(range, size)).toBe(header);
    expect(parseContentRange(header)).toEqual({ ...range, size });
  });
});

describe('parseContentRange', () => {
  it.each([
    ['bytes 0-9/10', { start: 0, end: 10, size: 10 }],
    ['bytes 5-5/10', { start: 5, end: 6, size: 10 }],
    ['bytes 5-9/*', { start: 5, end: 10, size: undefined }],
    ['Bytes 5-9/10', { start: 5, end: 10, size: 10 }],
    [' bytes 5-9/10 ', { start: 5, end: 10, size: 10 }],
  ])('reads %j', (header, range) => {
    expect(parseContentRange(header)).toEqual(range);
  });

  it.each([
    undefined,
    '',
    'bytes */10',
    'bytes 9-0/10',
    'bytes 0-9/9',
    'bytes=0-9/10',
    'bytes 0-9',
    'bytes 0-9/',
    'bytes -9/10',
    'bytes 0-/10',
    'items 0-9/10',
    'bytes 0-9/10, bytes 0-9/10',
  ])('takes %j for none', (header) => {
    expect(parseContentRange(header)).toBeUndefined();
  });
});
