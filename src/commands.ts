/** The commands beside `serve`: each resolves to the process's exit code. */
import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import { openStorage, setIndexAside } from './storage.ts';

const HEALTH_TIMEOUT_MS = 5000;

/** Asks the mirror that runs with this configuration how it is: for a container's health check. */
export async function checkHealth({ admin }: Config, say: (text: string) => void): Promise<number> {
  const { host, port } = admin.listen;
  const name =
    host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
  try {
    const response = await fetch(`http://${name}:${port}/readyz`, {
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    say(await response.text());
    return response.ok ? 0 : 1;
  } catch (error) {
    const cause = (error as Error).cause;
    say(
      `no answer from ${name}:${port}: ${cause instanceof Error ? cause.message : (error as Error).message}`,
    );
    return 1;
  }
}

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
