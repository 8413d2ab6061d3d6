import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

/** The rows of the page's table, without those that are headings themselves. */
function rowsOf(path: string): readonly (readonly string[])[] {
  const lines = read(path)
    .split('\n')
    .filter((line) => line.startsWith('|'));
  const rows = lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  return rows.filter(([first]) => !first?.startsWith('**'));
}

describe('docs/failures.md', () => {
  const rows = rowsOf('docs/failures.md');

  it('has a row for each kind of fault', () => {
    expect(rows.length).toBeGreaterThan(30);
  });

  it.each(rows.map(([what, seen, shownBy]) => ({ what, seen, shownBy })))(
    'names tests that there are: $what',
    ({ seen, shownBy }) => {
      expect(seen).toMatch(/\w/);
      const tests = [...(shownBy ?? '').matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)];
      expect(tests.length).toBeGreaterThan(0);
      for (const [, title = '', path = ''] of tests) {
        const titles = read(path.replace('../', '')).matchAll(/(['"`])(.*?)\1/g);
        expect(
          [...titles].some(([quoted]) => quoted.includes(title)),
          `${title} in ${path}`,
        ).toBe(true);
      }
    },
  );
});
