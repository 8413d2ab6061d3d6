/** Whether what was started is gone when it says that it has ended: sockets, timers, open files, spool files. */
import { existsSync } from 'node:fs';
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';

/** What a kernel or a library closes, it closes a little later. */
const TRIES = 500;
const PAUSE_MS = 10;
const OPEN_FILES = '/proc/self/fd';

/** @param work has to close all that it opens; its mirrors have their data in `dataDir` */
export async function expectNoLeaks(dataDir: string, work: () => Promise<void>): Promise<void> {
  const before = countsOf(process.getActiveResourcesInfo());
  // Of files that the garbage collector had to close, and of listeners that pile up.
  const warnings: string[] = [];
  const onWarning = ({ message }: Error) => void warnings.push(message);
  process.on('warning', onWarning);
  await work();
  let leaks: readonly string[] = [];
  for (let tries = 0; tries < TRIES; tries += 1) {
    const resources = process.getActiveResourcesInfo();
    leaks = [...surplusOf(resources, before), ...(await openFilesBelow(dataDir))];
    if (leaks.length === 0) break;
    await pause(PAUSE_MS);
  }
  process.off('warning', onWarning);
  expect([...leaks, ...warnings]).toEqual([]);
  expect(await strayFiles(join(dataDir, 'spool'))).toEqual([]);
}

/** What is neither a half-downloaded blob that can be gone on with, nor what vouches for one. */
async function strayFiles(spool: string): Promise<string[]> {
  const names = await readdir(spool);
  return names.filter((name) => {
    const other = name.endsWith('.checkpoints')
      ? name.slice(0, -'.checkpoints'.length)
      : `${name}.checkpoints`;
    return !names.includes(other);
  });
}

function countsOf(resources: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const resource of resources) counts.set(resource, (counts.get(resource) ?? 0) + 1);
  return counts;
}

function surplusOf(resources: readonly string[], before: ReadonlyMap<string, number>): readonly string[] {
  const left = new Map(before);
  return resources.filter((resource) => {
    const count = left.get(resource) ?? 0;
    left.set(resource, count - 1);
    return count <= 0;
  });
}

/** Node does not count them among its resources; where there is no /proc, nobody does. */
async function openFilesBelow(directory: string): Promise<readonly string[]> {
  if (!existsSync(OPEN_FILES)) return [];
  const files = await readdir(OPEN_FILES);
  // The one that lists them is among them, and gone by now.
  const targets = await Promise.all(files.map((file) => readlink(join(OPEN_FILES, file)).catch(() => '')));
  return targets.filter((target) => target.startsWith(directory));
}
