import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const PAGES = globSync(['*.md', 'docs/*.md', 'deploy/**/*.md'], { cwd: ROOT });

function namesIn(text: string): readonly string[] {
  return [...text.matchAll(/`(entrepot_[a-z_]+)[`{]/g)].map(([, name = '']) => name);
}

describe('the metrics that the documentation names', () => {
  const known = [...read('docs/metrics.md').matchAll(/^### `(\w+)`$/gm)].map(([, name]) => name);

  it.each(PAGES)('are there: %s', (page) => {
    expect(namesIn(read(page)).filter((name) => !known.includes(name))).toEqual([]);
  });

  it('are found at all', () => {
    expect(known.length).toBeGreaterThan(30);
    expect(namesIn(read('docs/troubleshooting.md')).length).toBeGreaterThan(3);
  });
});
