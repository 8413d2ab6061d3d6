/** The work that comes round by itself, and what a crash has left to be looked into. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from './config/config.ts';
import type { Traffic } from './admin/traffic.ts';
import { JobRunner, type Job } from './jobs/job-runner.ts';
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
  readonly traffic: Traffic;
  readonly log: Logger;
  readonly now: () => number;
}

export interface Housekeeping {
  readonly scrub: Scrub;
  /** Reads every blob again, due or not, and joins whoever does so already. Rejects with the signal's reason. */
  readonly runScrub: (signal: AbortSignal) => Promise<void>;
  /** Looks through the whole index; where it is broken, that is the end of the process as at any other time. */
  readonly runCheck: (signal: AbortSignal) => Promise<void>;
  close(): Promise<void>;
}

const SAMPLE_MS = 15_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export function startHousekeeping(options: HousekeepingOptions): Housekeeping {
  const { config, storage, space, traffic, log } = options;
  const jobs = new JobRunner(({ name }, err) => log.error({ err, job: name }, 'a job failed'));
  const trim = { name: 'trim', run: (signal: AbortSignal) => space.trim(signal) };
  jobs.start(trim, MINUTE_MS);
  jobs.start(traffic, SAMPLE_MS);
  const reserve = { name: 'reserve', run: () => storage.restoreReserve() };
  const expire = {
    name: 'expire-partials',
    run: () => storage.spool.expirePartials(config.downloads.keepPartialMs),
  };
  const forget = { name: 'forget-traffic', run: () => traffic.forget() };
  for (const [job, intervalMs] of [
    [reserve, MINUTE_MS],
    [expire, MINUTE_MS],
    [forget, HOUR_MS],
  ] as const) {
    jobs.start(job, intervalMs);
    void jobs.runNow(job);
  }
  const scrub = scrubOf(options);
  if (config.scrub.bytesPerSecond > 0) jobs.start(scrub, MINUTE_MS);
  const check = { name: 'check', run: (signal: AbortSignal) => storage.check(signal) };
  // A smaller bound than the last time takes effect at once.
  void lookAfterCrash(options, jobs, check).then(() => jobs.runNow(trim));
  return {
    scrub,
    runScrub: async (signal) => {
      signal.throwIfAborted();
      scrub.request();
      try {
        await jobs.run(scrub, signal);
      } catch (error) {
        // One that comes round by itself would go on with what somebody has just called off.
        if (signal.aborted) await scrub.giveUp();
        throw error;
      }
    },
    runCheck: (signal) => jobs.run(check, signal),
    close: async () => {
      await jobs.close();
      await traffic.run();
    },
  };
}

/** Meanwhile requests are served: what is missing is noticed when it is asked for. */
async function lookAfterCrash(
  { storage: { reconcile }, log }: HousekeepingOptions,
  jobs: JobRunner,
  check: Job,
): Promise<void> {
  if (!reconcile) return;
  await jobs.runNow(check);
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
