import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../../src/lib/units.ts';

describe('parseBytes', () => {
  it.each([
    ['0', 0],
    ['1073741824', 2 ** 30],
    ['512B', 512],
    ['1KiB', 1024],
    ['1KB', 1000],
    ['1kB', 1000],
    ['500MB', 500_000_000],
    ['64MiB', 64 * 2 ** 20],
    ['40GiB', 40 * 2 ** 30],
    ['40 GiB', 40 * 2 ** 30],
    ['40gib', 40 * 2 ** 30],
    [' 1GB ', 1e9],
    ['1.5TiB', 1.5 * 2 ** 40],
    ['2TB', 2e12],
    ['1PiB', 2 ** 50],
    ['1PB', 1e15],
    ['0.3KB', 300],
  ])('reads %j as %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  it.each([
    '',
    'GiB',
    '-1',
    '+1',
    '1e9',
    '0x10',
    '1,5GiB',
    '40GiB!',
    '1 2',
    '1.GiB',
    '.5GiB',
    'Infinity',
    'NaN',
  ])('refuses %j', (text) => {
    expect(() => parseBytes(text)).toThrow(SyntaxError);
  });

  it('tells powers of 1024 from powers of 1000 where a unit leaves it open', () => {
    expect(() => parseBytes('40G')).toThrow('write 40GiB for powers of 1024, 40GB for powers of 1000');
    expect(() => parseBytes('40Gi')).toThrow('write 40GiB');
  });

  it('names a unit that does not exist', () => {
    expect(() => parseBytes('40XB')).toThrow('there is no unit "xb"');
  });

  it('refuses what a number cannot hold exactly', () => {
    expect(() => parseBytes('9PiB')).toThrow('too large');
    expect(parseBytes('7PiB')).toBe(7 * 2 ** 50);
  });
});

describe('formatBytes', () => {
  it.each([
    [0, '0B'],
    [1, '1B'],
    [1023, '1023B'],
    [1024, '1KiB'],
    [1000, '1KB'],
    [500_000_000, '500MB'],
    [64 * 2 ** 20, '64MiB'],
    [1.5 * 2 ** 30, '1536MiB'],
    [40 * 2 ** 30, '40GiB'],
    [39_943_193_901, '37.2GiB'],
    [123_456_789_000, '115GiB'],
    [10_001, '9.8KiB'],
  ])('writes %d as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('is read back to the same number where it is exact', () => {
    for (const text of ['1KiB', '500MB', '64MiB', '40GiB', '3TB', '1PiB', '12B']) {
      expect(formatBytes(parseBytes(text))).toBe(text);
    }
  });
});

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['60s', 60_000],
    ['60 s', 60_000],
    ['5m', 300_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['1.5h', 5_400_000],
    ['0', 0],
    ['0s', 0],
    ['5M', 300_000],
  ])('reads %j as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', 's', '-5s', '5 s s', '1h30m', '5sec', '1e3ms', '99999999999d'])('refuses %j', (text) => {
    expect(() => parseDuration(text)).toThrow(SyntaxError);
  });

  it('refuses a number without a unit and says how to write it', () => {
    expect(() => parseDuration('60')).toThrow('it has no unit: write 60s for seconds');
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0s'],
    [500, '500ms'],
    [1500, '1500ms'],
    [60_000, '1m'],
    [90_000, '90s'],
    [86_400_000, '1d'],
    [604_800_000, '7d'],
    [1.4, '1ms'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
    expect(parseDuration(formatDuration(ms))).toBe(Math.round(ms));
  });
});
