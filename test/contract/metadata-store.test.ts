import { join } from 'node:path';
import { CachedMetadataStore } from '../../src/metadata/cached-metadata-store.ts';
import { RecordDirectory } from '../../src/metadata/record-directory.ts';
import { openSqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../support/temp-dir.ts';
import { metadataStorePurgeContract } from './metadata-store-purge.contract.ts';
import { metadataStoreScaleContract } from './metadata-store-scale.contract.ts';
import { metadataStoreContract, type MetadataStoreHarness } from './metadata-store.contract.ts';

async function openSqlite(clock: () => number, withRecords: boolean): Promise<MetadataStoreHarness> {
  const directory = await tempDir();
  const { store } = openSqliteMetadataStore({
    path: join(directory.path, 'index.db'),
    clock,
    ...(withRecords ? { records: new RecordDirectory(join(directory.path, 'records'), fail) } : {}),
  });
  const dispose = async () => {
    await store.close();
    await directory[Symbol.asyncDispose]();
  };
  return { store, dispose };
}

function fail(error: Error): never {
  throw error;
}

for (const contract of [metadataStoreContract, metadataStoreScaleContract, metadataStorePurgeContract]) {
  contract('SQLite', (clock) => openSqlite(clock, false));
  contract('SQLite with records', (clock) => openSqlite(clock, true));
  contract('SQLite behind a cache', async (clock) => {
    const { store, dispose } = await openSqlite(clock, true);
    return { store: new CachedMetadataStore(store), dispose };
  });
  contract('SQLite behind a cache that holds next to nothing', async (clock) => {
    const { store, dispose } = await openSqlite(clock, false);
    return { store: new CachedMetadataStore(store, 10_000), dispose };
  });
}
