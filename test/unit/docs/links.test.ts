import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const PAGES = globSync(['*.md', 'docs/**/*.md', 'deploy/**/*.md', 'bench/*.md'], { cwd: ROOT });
/** Of pages, and of what is written for people in files of other kinds: the runbooks of the alerts. */
const LINK = /\]\((?!https?:|mailto:)([^)\s]+)\)|(?<=runbook: ['"]?)(docs\/[^'"\s]+)/g;

function linksOf(path: string): readonly string[] {
  const text = readFileSync(join(ROOT, path), 'utf8').replace(/^```.*?^```/gms, '');
  return [...text.matchAll(LINK)].map(([, link, runbook]) => link ?? runbook ?? '');
}

/** As GitHub names headings: lower case, punctuation left out, spaces as hyphens, and a number behind what comes again. */
function anchorsOf(path: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading = ''] of readFileSync(path, 'utf8').matchAll(/^#{1,6} (.*)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    anchors.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return anchors;
}

function missing(page: string, link: string): string | undefined {
  const [path = '', anchor] = link.split('#');
  const isRunbook = !page.endsWith('.md');
  const target = join(ROOT, path === '' ? page : isRunbook ? path : join(dirname(page), path));
  if (!existsSync(target)) return `${page}: ${link} leads nowhere`;
  if (anchor === undefined || !target.endsWith('.md')) return undefined;
  return anchorsOf(target).has(anchor) ? undefined : `${page}: ${link} has no such heading`;
}

describe('links in the documentation', () => {
  const pages = [...PAGES, ...globSync('deploy/prometheus/*.yml', { cwd: ROOT })];

  it.each(pages)('of %s lead somewhere', (page) => {
    expect(linksOf(page).flatMap((link) => missing(page, link) ?? [])).toEqual([]);
  });

  it('are found at all', () => {
    expect(pages.flatMap(linksOf).length).toBeGreaterThan(50);
    expect(missing('README.md', 'docs/nowhere.md')).toBeDefined();
    expect(missing('README.md', 'docs/configuration.md#nothing')).toBeDefined();
  });
});
