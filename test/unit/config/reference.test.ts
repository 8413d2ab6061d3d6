import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { renderReference } from '../../../scripts/config-reference.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { settingsOf } from '../../../src/config/setting.ts';

describe('docs/configuration.md', () => {
  it('is what scripts/config-reference.ts makes of the schema', async () => {
    const file = new URL('../../../docs/configuration.md', import.meta.url);
    expect(await readFile(file, 'utf8')).toBe(await renderReference());
  });
});

describe('the settings of the schema', () => {
  const settings = settingsOf(configSchema(() => ''));

  it('each have a description that ends as a sentence', () => {
    for (const { path, description } of settings) expect(description, path).toMatch(/^[A-Z`].*\.$/);
  });

  it('have no variable twice', () => {
    const variables = settings.flatMap(({ env }) => env ?? []);
    expect(new Set(variables).size).toBe(variables.length);
  });

  it('are found at every depth', () => {
    const paths = settings.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['listen', 'cache.maxSize', 'upstreams[].passwordFile']));
  });
});
