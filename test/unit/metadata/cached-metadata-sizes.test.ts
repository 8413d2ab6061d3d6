/** How much memory an operator may give: any number of bytes. */
import { describe, expect, it } from 'vitest';
import { CachedMetadataStore } from '../../../src/metadata/cached-metadata-store.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../../support/temp-dir.ts';

describe('CachedMetadataStore', () => {
  it.each([0.5, 1, 500.5, 8192, 161_061_273.5])('may have %d bytes', async (maxBytes) => {
    await using dir = await tempDir();
    const { store } = openSqliteMetadataStore({ path: `${dir.path}/index.sqlite` });
    const cached = new CachedMetadataStore(store, maxBytes);
    expect(await cached.totals()).toMatchObject({ blobs: 0 });
    await cached.close();
  });
});
