/** Watches the process while it runs: what it has on disk and in memory, what its metrics say. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { get } from '../../support/http.ts';
import { parseMetrics } from '../../support/metrics.ts';
import { blobFiles } from './mischief.ts';
import { SECRETS } from './plan.ts';
import type { World } from './world.ts';

const MIB = 1024 * 1024;
const INTERVAL_MS = 250;
const SCRAPE_EVERY = 8;
/**
 * Above its bound for so many looks in a row: a look takes time, and may see a file both before and after it moved; and
 * after a crash, files that no row knows count only when they were found.
 */
const MAX_LOOKS_ABOVE = 12;
/** Checkpoints and what is being appended. */
const DISK_ALLOWANCE = 2 * MIB;
/** Of the index and the records, which the bound does not count. */
const MAX_INDEX_BYTES = 128 * MIB;
const MAX_RESIDENT_BYTES = 700 * MIB;

export async function watchVitals(world: World, isOver: () => boolean): Promise<void> {
  const { mirror, findings, tally, plan } = world;
  let looksAbove = 0;
  for (let look = 1; !isOver(); look += 1) {
    await pause(INTERVAL_MS);
    const bytes = await diskBytes(mirror.dataDir);
    tally.peak('most MiB in the cache', Math.round(bytes / MIB));
    looksAbove = bytes > plan.cacheBytes + DISK_ALLOWANCE ? looksAbove + 1 : 0;
    if (looksAbove > MAX_LOOKS_ABOVE) {
      findings.add('the cache stays above its bound on disk', { bytes, bound: plan.cacheBytes });
    }
    const resident = await mirror.residentBytes();
    tally.peak('most MiB resident', Math.round(resident / MIB));
    if (resident > MAX_RESIDENT_BYTES) findings.add('the mirror takes too much memory', { resident });
    if (look % SCRAPE_EVERY === 0) await scrape(world);
  }
}

/** Files that go meanwhile do not count. */
async function diskBytes(dataDir: string): Promise<number> {
  const files = await blobFiles(dataDir);
  const spool = join(dataDir, 'spool');
  const names = await readdir(spool).catch(() => []);
  const sizes = await Promise.all(names.map((name) => sizeOf(join(spool, name))));
  return [...files.map(({ size }) => size), ...sizes].reduce((sum, size) => sum + size, 0);
}

export async function checkIndexSize({ mirror, findings }: World): Promise<void> {
  const sizes = await Promise.all(
    ['', '-wal', '-shm'].map((suffix) => sizeOf(join(mirror.dataDir, `index.sqlite${suffix}`))),
  );
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  if (bytes > MAX_INDEX_BYTES) findings.add('the index takes too much disk', { bytes });
}

async function scrape({ mirror, findings, tally }: World): Promise<void> {
  const startedAt = performance.now();
  if (mirror.absence.isOn) return;
  const url = (await mirror.addresses())?.admin;
  if (url === undefined) return;
  try {
    for (const path of ['/metrics', '/readyz', '/healthz']) {
      const { status, body } = await get(`${url}${path}`, { signal: AbortSignal.timeout(60_000) });
      const text = body.toString();
      tally.count('scrapes');
      if (SECRETS.test(text)) findings.add('the admin side tells a secret', { path, text });
      if (path === '/metrics') parseMetrics(text);
      else if (status !== 200 && !mirror.absence.touches(startedAt, performance.now())) {
        findings.add('the mirror says that it is not well', { path, status, text });
      }
    }
  } catch (error) {
    if (mirror.absence.touches(startedAt, performance.now())) return;
    findings.add('the admin side does not answer', String(error));
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
}
