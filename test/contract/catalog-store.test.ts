import { join } from 'node:path';
import { openSqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../support/temp-dir.ts';
import { catalogStoreContract } from './catalog-store.contract.ts';

catalogStoreContract('SQLite', async (clock) => {
  const directory = await tempDir();
  const { store, catalog, history } = openSqliteMetadataStore({
    path: join(directory.path, 'index.db'),
    clock,
  });
  const dispose = async () => {
    await store.close();
    await directory[Symbol.asyncDispose]();
  };
  return { store, catalog, history, dispose };
});
