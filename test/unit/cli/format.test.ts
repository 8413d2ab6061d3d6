import { describe, expect, it } from 'vitest';
import {
  cut,
  formatAge,
  formatBar,
  formatJson,
  formatShare,
  formatSpan,
  printable,
  wrap,
} from '../../../src/cli/format.ts';
import { paint, screenOf } from '../../../src/cli/screen.ts';
import { formatTable, type Column } from '../../../src/cli/table.ts';
import { formatSize } from '../../../src/lib/units.ts';

const NOW = Date.parse('2026-03-01T12:00:00.000Z');

function screen(columns?: number, env: Record<string, string> = {}) {
  return screenOf({ isTTY: columns !== undefined, columns: columns ?? 0, write: () => true }, env);
}

describe('formatSize', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1_048_524, '1023.9 KiB'],
    [1_048_575, '1 MiB'],
    [500_000_000, '476.8 MiB'],
    [1.2 * 1024 ** 3, '1.2 GiB'],
    [40 * 1024 ** 3, '40 GiB'],
    [3000 * 1024 ** 5, '3000 PiB'],
  ])('writes %d as %j', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});

describe('formatSpan and formatAge', () => {
  it.each([
    [-5, '0 s'],
    [40_000, '40 s'],
    [3 * 60_000, '3 min'],
    [47 * 3_600_000, '47 h'],
    [12 * 86_400_000, '12 d'],
  ])('a span of %d ms is %j', (ms, text) => {
    expect(formatSpan(ms)).toBe(text);
  });

  it.each([
    [undefined, 'never'],
    ['2026-03-01T12:00:05.000Z', 'just now'],
    ['2026-03-01T09:00:00.000Z', '3 h ago'],
    ['no time\x1b', 'no time\\u001b'],
  ])('what happened at %j did %j', (time, text) => {
    expect(formatAge(time, NOW)).toBe(text);
  });
});

describe('formatShare', () => {
  it.each([
    [0, 0, '-'],
    [1, 1, '100 %'],
    [999_999, 1_000_000, '99.9 %'],
    [1, 2, '50 %'],
    [1, 30, '3.3 %'],
  ])('%d of %d is %j', (part, whole, text) => {
    expect(formatShare(part, whole)).toBe(text);
  });
});

describe('formatBar', () => {
  it.each([
    [0, 10, '[    ]'],
    [5, 10, '[=>  ]'],
    [10, 10, '[====]'],
    [20, 10, '[====]'],
    [1, 0, '[    ]'],
  ])('%d of %d is %j', (part, whole, text) => {
    expect(formatBar(part, whole, 4)).toBe(text);
  });
});

describe('text from outside', () => {
  const NASTY = 'a\x1b[2Jb\u202ec\x9bd\ne';

  it('is written so that a terminal obeys none of it', () => {
    expect(printable(NASTY)).toBe('a\\u001b[2Jb\\u202ec\\u009bd\\u000ae');
  });

  it('stays the same value in JSON', () => {
    const text = formatJson({ [NASTY]: [NASTY, '\u{e0001}'] });
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(JSON.parse(text)).toEqual({ [NASTY]: [NASTY, '\u{e0001}'] });
  });

  it('is cut by characters, with a mark', () => {
    expect(cut('ÜÜÜÜ', 4)).toBe('ÜÜÜÜ');
    expect(cut('😀😀😀', 2)).toBe('😀…');
    expect(cut('abc', 0)).toBe('');
  });
});

describe('colours', () => {
  it.each([
    [80, {}, true],
    [80, { NO_COLOR: '' }, true],
    [80, { NO_COLOR: '1' }, false],
    [80, { TERM: 'dumb' }, false],
    [undefined, {}, false],
  ])('on a terminal of %j columns with %j: %j', (columns, env, isColoured) => {
    expect(paint(screen(columns, env), 'red', 'x') !== 'x').toBe(isColoured);
  });
});

describe('formatTable', () => {
  interface Row {
    readonly name: string;
    readonly size: string;
  }
  const columns: readonly Column<Row>[] = [
    { title: 'NAME', of: ({ name }) => name, shrinks: true },
    { title: 'SIZE', of: ({ size }) => size, isRight: true },
    { title: 'MORE', of: () => 'last' },
  ];
  const rows = [
    { name: 'library/alpine', size: '7 MiB' },
    { name: 'ghcr.io/an-owner/with-a-long-name', size: '1023.9 MiB' },
  ];

  it('aligns columns, and ends no line with spaces', () => {
    expect(formatTable(screen(), columns, rows)).toBe(
      [
        'NAME                                     SIZE  MORE',
        'library/alpine                          7 MiB  last',
        'ghcr.io/an-owner/with-a-long-name  1023.9 MiB  last',
        '',
      ].join('\n'),
    );
  });

  it('has titles where there are no rows', () => {
    expect(formatTable(screen(), columns, [])).toBe('NAME  SIZE  MORE\n');
  });

  it('shortens names first where the terminal is narrow, and never writes a longer line', () => {
    const text = formatTable(screen(40, { NO_COLOR: '1' }), columns, rows);
    expect(text).toContain('ghcr.io/an-owner/with…  1023.9 MiB  last');
    const narrow = formatTable(screen(20, { NO_COLOR: '1' }), columns, rows);
    for (const line of narrow.split('\n')) expect(line.length).toBeLessThanOrEqual(20);
  });

  it('counts colours as nothing', () => {
    const coloured = columns.map((column) => ({ ...column, style: () => 'red' as const }));
    const bare = formatTable(screen(80), coloured, rows).replaceAll(/\x1b\[\d+m/g, '');
    expect(bare).toBe(formatTable(screen(80, { NO_COLOR: '1' }), columns, rows));
  });

  it('prints no control character of a cell', () => {
    const text = formatTable(screen(), columns, [{ name: 'a\x1b[31m', size: '\r1' }]);
    expect(text).toContain('a\\u001b[31m');
    expect(text).toContain('\\u000d1');
  });
});

describe('wrap', () => {
  it.each([
    ['it fits', 7, ['it fits']],
    ['it is too long', 7, ['it is', 'too', 'long']],
    ['  indented and long', 10, ['  indented', 'and long']],
    ['a sha256:0123456789', 8, ['a', 'sha256:0', '12345678', '9']],
    ['[   ] 1 B', 7, ['[   ] 1', 'B']],
    ['ab', 0, ['a', 'b']],
  ])('breaks %j at %i', (text, width, lines) => {
    expect(wrap(text, width)).toEqual(lines);
  });
});
