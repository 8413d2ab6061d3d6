/**
 * Gives memory back when there has been little to do for a while. V8 collects when it needs room: an idle process would
 * keep for good what its start has left behind, 10 MB, and what a hundred readers have, 100 MB.
 */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const LOOK_MS = 2000;
/** A collection stops everything for some 50 ms: with less than this to do, hardly anybody meets it. */
const MAX_QUIET_SHARE = 0.02;
/** And after less work than that there is little to collect. */
const MIN_WORK_MS = 500;
/**
 * In turn: a minute. What comes after a collection is dearer for a while, for compiled code goes too (25 µs a request
 * became 34 where every pause of two seconds had one).
 */
const QUIET_LOOKS = 30;

/** Decides, look by look, when it is time. */
export class Quiet {
  #workMs = 0;
  #quietLooks = 0;

  /** @param workMs how much of the last `elapsedMs` the event loop was busy */
  isTimeToCollect(workMs: number, elapsedMs: number): boolean {
    this.#workMs += workMs;
    this.#quietLooks = workMs > elapsedMs * MAX_QUIET_SHARE ? 0 : this.#quietLooks + 1;
    if (this.#workMs < MIN_WORK_MS || this.#quietLooks < QUIET_LOOKS) return false;
    this.#workMs = 0;
    return true;
  }
}

/** From now on, for as long as the process lives for something else. */
export function collectWhenQuiet(): void {
  const quiet = new Quiet();
  let last = performance.eventLoopUtilization();
  // Of the time before the first look, only what comes after this is known: the start counts as work.
  quiet.isTimeToCollect(MIN_WORK_MS, MIN_WORK_MS);
  setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { active, idle } = performance.eventLoopUtilization(now, last);
    last = now;
    if (quiet.isTimeToCollect(active, active + idle)) collect();
  }, LOOK_MS).unref();
}

type Collector = (options: { readonly type: 'major'; readonly execution: 'sync' }) => void;

function collect(): void {
  // What `--expose-gc` shows, without asking for it on every command line.
  setFlagsFromString('--expose-gc');
  const collector = runInNewContext('gc') as Collector;
  setFlagsFromString('--no-expose-gc');
  collector({ type: 'major', execution: 'sync' });
}
