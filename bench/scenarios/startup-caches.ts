/** Full caches as the peers would have left them, made without a pull: files of a few bytes or of holes. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generate } from '../index/generate.ts';
import type { PeerName } from '../support/scenario.ts';

const DAY_MS = 86_400_000;

/**
 * Fills the directory that such a peer will be started in. nginx has none: it looks at its cache a minute after the
 * start, when it has long been answering.
 */
export const FILL_CACHE: Partial<Record<PeerName, (directory: string, blobs: number) => Promise<void>>> = {
  entrepot: async (directory, blobs) => {
    await generate({ directory: join(directory, 'data'), blobs, hasFiles: true });
  },
  distribution: (directory, blobs) => {
    fillDistribution(join(directory, 'data'), blobs);
    return Promise.resolve();
  },
};

/** Its blobs, without the links to them, and when each is to go: only that it reads when it starts. */
function fillDistribution(root: string, blobs: number): void {
  const stored = join(root, 'docker/registry/v2/blobs/sha256');
  const expiry: Record<string, object> = {};
  for (let number = 0; number < blobs; number += 1) {
    const hex = createHash('sha256').update(String(number)).digest('hex');
    write(join(stored, hex.slice(0, 2), hex, 'data'), String(number));
    const key = `bench/startup@sha256:${hex}`;
    expiry[key] = { Key: key, ExpiryData: new Date(Date.now() + 7 * DAY_MS).toISOString(), EntryType: 0 };
  }
  write(join(root, 'scheduler-state.json'), JSON.stringify(expiry));
}

// One after the other, and not by the thread pool: a small file is made in a fraction of what the detour would take.
function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
