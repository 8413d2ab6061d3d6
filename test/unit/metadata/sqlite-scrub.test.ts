import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ScrubState } from '../../../src/metadata/metadata-store.ts';
import { openSqliteMetadataStore } from '../../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { blobOf } from './content.ts';

const underWay: ScrubState = {
  beganAt: 1000,
  isComplete: false,
  cursor: blobOf('a').digest,
  scannedBlobs: 3,
  scannedBytes: 5_000_000_000,
  corruptBlobs: 1,
  lastCompletedAt: undefined,
};
const ended: ScrubState = { ...underWay, isComplete: true, cursor: undefined, lastCompletedAt: 2000 };

describe('the state of the scrub', () => {
  it('is not there before the first one', async () => {
    const { store, scrubStates } = openSqliteMetadataStore({ path: ':memory:' });
    expect(await scrubStates.find()).toBeUndefined();
    await store.close();
  });

  it('is found again as it was saved last, by the next process too', async () => {
    await using directory = await tempDir();
    const path = join(directory.path, 'index.sqlite');
    for (const state of [underWay, ended, underWay]) {
      const { store, scrubStates } = openSqliteMetadataStore({ path });
      await scrubStates.save(state);
      expect(await scrubStates.find()).toEqual(state);
      await store.close();
      const next = openSqliteMetadataStore({ path });
      expect(await next.scrubStates.find()).toEqual(state);
      await next.store.close();
    }
  });

  it('rejects, instead of throwing, once the index is closed', async () => {
    const { store, scrubStates } = openSqliteMetadataStore({ path: ':memory:' });
    await store.close();
    await expect(scrubStates.find()).rejects.toThrow();
    await expect(scrubStates.save(ended)).rejects.toThrow();
  });
});
