/** What a command does by itself, without a mirror that runs: each resolves to the process's exit code. */
import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import { openStorage, setIndexAside } from './storage.ts';

/** Makes the index anew from what lies on disk; no mirror may be running on the directory. */
export async function rebuildIndex(config: Config, log: Logger): Promise<number> {
  const { dataDir, cache } = config;
  if (!existsSync(dataDir)) throw new Error(`there is no data directory ${dataDir}`);
  await setIndexAside(dataDir, Date.now());
  const storage = await openStorage({
    ...{ dataDir, memoryBytes: cache.memoryBytes, now: Date.now, log },
    onUnwritten: (part, err) => log.warn({ part, err }, 'something could not be written'),
    onCorrupt: (error) => {
      throw error;
    },
  });
  const { blobs, manifests } = await storage.metadata.totals();
  await storage.close();
  log.info({ blobs, manifests }, 'the index is made anew');
  return 0;
}
