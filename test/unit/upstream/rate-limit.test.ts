import { describe, expect, it } from 'vitest';
import { parseRateLimit, parseRetryAfter } from '../../../src/upstream/rate-limit.ts';

const NOW = Date.UTC(2026, 0, 1, 12);

describe('parseRateLimit', () => {
  it('reads the headers of Docker Hub', () => {
    const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
    expect(parseRateLimit(headers, NOW)).toEqual({
      limit: 100,
      remaining: 76,
      windowSeconds: 21_600,
      seenAt: NOW,
    });
  });

  it('reads what there is', () => {
    expect(parseRateLimit({ 'ratelimit-remaining': ' 0 ; w=60;comment="x"' }, NOW)).toEqual({
      limit: undefined,
      remaining: 0,
      windowSeconds: 60,
      seenAt: NOW,
    });
    expect(parseRateLimit({ 'ratelimit-limit': '100' }, NOW)).toMatchObject({
      limit: 100,
      windowSeconds: undefined,
    });
  });

  it.each([
    {},
    { 'ratelimit-limit': 'many' },
    { 'ratelimit-limit': ['1', '2'] },
    { 'ratelimit-limit': '-1' },
  ])('finds none in %o', (headers) => {
    expect(parseRateLimit(headers, NOW)).toBeUndefined();
  });
});

describe('parseRetryAfter', () => {
  it.each([
    ['17', 17],
    [' 0 ', 0],
    ['Thu, 01 Jan 2026 12:01:30 GMT', 90],
    ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
    ['99999999999', 86_400],
    ['Fri, 01 Jan 2100 00:00:00 GMT', 86_400],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('reads %o as %o', (header, expected) => {
    expect(parseRetryAfter(header, NOW)).toBe(expected);
  });
});
