import { describe, expect, it } from 'vitest';
import {
  formatPlatform,
  isOfNoPlatform,
  parsePlatform,
  platformIn,
  selectPlatform,
} from '../../../src/oci/platform.ts';

function selected(offered: readonly string[], wanted: string): readonly string[] {
  const candidates = offered.map((text) => ({ platform: parsePlatform(text) }));
  return selectPlatform(candidates, parsePlatform(wanted)!).map(({ platform }) => formatPlatform(platform!));
}

describe('platforms', () => {
  it.each(['linux/amd64', 'linux/arm/v7', 'windows/amd64'])('reads and writes %s', (text) => {
    expect(formatPlatform(parsePlatform(text)!)).toBe(text);
  });

  it('reads them in any case of letters', () => {
    expect(formatPlatform(parsePlatform('Linux/ARM64/V8')!)).toBe('linux/arm64/v8');
  });

  it.each(['', 'linux', 'linux/', '/amd64', 'linux/arm/v7/x', 'linux/a b', 'linux/\u001b[31m'])(
    'takes %j for none',
    (text) => {
      expect(parsePlatform(text)).toBeUndefined();
    },
  );

  it('finds them in JSON, and nothing in what is none', () => {
    expect(platformIn({ os: 'linux', architecture: 'arm', variant: 'v6' })).toEqual({
      ...{ os: 'linux', architecture: 'arm', variant: 'v6' },
    });
    expect(platformIn({ os: 'linux', architecture: 'amd64', variant: '' })).toEqual({
      ...{ os: 'linux', architecture: 'amd64' },
    });
    for (const json of [undefined, null, 'linux/amd64', {}, { os: 'linux' }, { os: '', architecture: '' }]) {
      expect(platformIn(json)).toBeUndefined();
    }
  });

  it('knows those of attestations', () => {
    expect(isOfNoPlatform({ os: 'unknown', architecture: 'unknown' })).toBe(true);
    expect(isOfNoPlatform({ os: 'linux', architecture: 'unknown' })).toBe(false);
  });
});

describe('selectPlatform', () => {
  const ALL = [
    'linux/amd64',
    'linux/arm/v5',
    'linux/arm/v6',
    'linux/arm/v7',
    'linux/arm64/v8',
    'windows/amd64',
  ];

  it.each([
    ['linux/amd64', ['linux/amd64']],
    ['linux/amd64/v3', ['linux/amd64']],
    ['linux/arm64', ['linux/arm64/v8']],
    ['linux/arm64/v8', ['linux/arm64/v8']],
    ['linux/arm', ['linux/arm/v7']],
    ['linux/arm/v6', ['linux/arm/v6']],
    ['linux/arm/v8', ['linux/arm/v7']],
    ['linux/s390x', []],
    ['freebsd/amd64', []],
  ])('takes for %s %j', (wanted, expected) => {
    expect(selected(ALL, wanted)).toEqual(expected);
  });

  it('takes no variant that is too new', () => {
    expect(selected(['linux/arm/v7', 'linux/amd64/v3'], 'linux/arm/v6')).toEqual([]);
    expect(selected(['linux/amd64/v3', 'linux/amd64'], 'linux/amd64')).toEqual(['linux/amd64']);
  });

  it('takes arm64 without a variant for v8', () => {
    expect(selected(['linux/arm64'], 'linux/arm64/v8')).toEqual(['linux/arm64']);
  });

  it('takes all of the same platform, as Windows has for its versions', () => {
    expect(selected(['windows/amd64', 'windows/amd64'], 'windows/amd64')).toHaveLength(2);
  });

  it('compares other variants by their names', () => {
    expect(selected(['linux/mips/le', 'linux/mips/be'], 'linux/mips/le')).toEqual(['linux/mips/le']);
  });
});
