/** The work that comes round by itself, and what a crash has left to be looked into. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import { JobRunner } from './jobs/job-runner.ts';
import { Scrub } from './jobs/scrub.ts';
import { ByteRate } from './lib/byte-rate.ts';
import type { Observers } from './observers.ts';
import type { CacheSpace } from './repository/cache-space.ts';
import type { Storage } from './storage.ts';

export interface HousekeepingOptions {
  readonly config: Config;
  readonly storage: Storage;
  readonly space: CacheSpace;
  readonly observers: Observers;
  readonly log: Logger;
  readonly now: () => number;
}

export interface Housekeeping {
  readonly scrub: Scrub;
  close(): Promise<void>;
}

const MINUTE_MS = 60_000;

export function startHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { config, storage, space, log } = options;
  const jobs = new JobRunner(({ name }, err) => log.error({ err, job: name }, 'a job failed'));
  const trim = { name: 'trim', run: (signal: AbortSignal) => space.trim(signal) };
  jobs.start(trim, MINUTE_MS);
  const reserve = { name: 'reserve', run: () => storage.restoreReserve() };
  const expire = {
    name: 'expire-partials',
    run: () => storage.spool.expirePartials(config.downloads.keepPartialMs),
  };
  for (const job of [reserve, expire]) {
    jobs.start(job, MINUTE_MS);
    void jobs.runNow(job);
  }
  const scrub = scrubOf(options);
  if (config.scrub.bytesPerSecond > 0) jobs.start(scrub, MINUTE_MS);
  // A smaller bound than the last time takes effect at once.
  void lookAfterCrash(options, jobs).then(() => jobs.runNow(trim));
  return { scrub, close: () => jobs.close() };
}

/** Meanwhile requests are served: what is missing is noticed when it is asked for. */
async function lookAfterCrash(
  { storage: { check, reconcile }, log }: HousekeepingOptions,
  jobs: JobRunner,
): Promise<void> {
  if (check) await jobs.runNow({ name: 'check', run: check });
  if (!reconcile) return;
  const run = async (signal: AbortSignal) => {
    log.warn(await reconcile(signal), 'the index was reconciled with the disk after a crash');
  };
  await jobs.runNow({ name: 'reconcile', run });
}

function scrubOf({ config, storage, observers, now }: HousekeepingOptions): Scrub {
  const { metadata, scrubStates: states, files, blobs } = storage;
  const { intervalMs, bytesPerSecond } = config.scrub;
  const rate = new ByteRate({
    // Asked for by hand it runs although it does not come round by itself.
    bytesPerSecond: bytesPerSecond > 0 ? bytesPerSecond : Infinity,
    pause: (ms, signal) => pause(ms, undefined, { signal }),
  });
  return new Scrub({
    ...{ metadata, states, files, blobs, intervalMs, rate, now },
    onCorrupt: observers.blobCorrupt,
    onCompleted: observers.scrubbed,
  });
}
