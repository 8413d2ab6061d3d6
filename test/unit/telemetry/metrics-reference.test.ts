import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { describeMetrics, LABELS, renderReference } from '../../../scripts/metrics-reference.ts';

describe('docs/metrics.md', () => {
  it('is what scripts/metrics-reference.ts makes of the metrics', async () => {
    const file = new URL('../../../docs/metrics.md', import.meta.url);
    expect(await readFile(file, 'utf8')).toBe(await renderReference());
  });

  it('says of no label that no metric has', () => {
    const metrics = describeMetrics();
    const known = metrics.flatMap(({ name, labels }) =>
      labels.flatMap((label) => [label, `${name}{${label}}`]),
    );
    for (const label of Object.keys(LABELS)) expect(known).toContain(label);
  });
});

describe('the metrics', () => {
  it('each say what they are in a sentence, with the unit in the name', () => {
    for (const { name, type, help } of describeMetrics()) {
      expect(help, name).toMatch(/^[A-Z].*\.$/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name).toMatch(/^(entrepot|registry_proxy|process|nodejs)_[a-z_]+$/);
    }
  });

  it('have no label by which clients could make new series', () => {
    const labels = new Set(describeMetrics().flatMap(({ labels: own }) => own));
    for (const open of ['repository', 'reference', 'digest', 'tag', 'client', 'namespace', 'user_agent'])
      expect(labels).not.toContain(open);
  });
});
