/** Work that comes round by itself: never twice at once, ended when the process ends. */
import { untilAborted } from '../lib/single-flight.ts';

export interface Job {
  readonly name: string;
  run(signal: AbortSignal): Promise<unknown>;
}

interface Run {
  readonly ended: Promise<void>;
  /** For those who do not want to hear why it failed; that is told once. */
  reported: Promise<void> | undefined;
}

export class JobRunner {
  readonly #abort = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #running = new Map<Job, Run>();
  readonly #onError: (job: Job, error: Error) => void;

  constructor(onError: (job: Job, error: Error) => void) {
    this.#onError = onError;
  }

  /** The first run is due after one interval. */
  start(job: Job, intervalMs: number): void {
    this.#timers.push(setInterval(() => void this.runNow(job), intervalMs).unref());
  }

  /** Joins the run that is under way, if there is one; does nothing once it is closed. Never rejects. */
  runNow(job: Job): Promise<void> {
    if (this.#abort.signal.aborted && !this.#running.has(job)) return Promise.resolve();
    const run = this.#running.get(job) ?? this.#begin(job, this.#abort.signal);
    // A job that fails is due again; it does not take the process with it.
    run.reported ??= run.ended.catch((error: unknown) => {
      if (!this.#abort.signal.aborted) this.#onError(job, error as Error);
    });
    return run.reported;
  }

  /**
   * The same for whoever wants to hear why it failed: rejects with that. The signal ends a run that began with it; one
   * that was joined goes on without whoever leaves. Rejects at once when closed.
   */
  async run(job: Job, signal: AbortSignal): Promise<void> {
    const closing = this.#abort.signal;
    signal.throwIfAborted();
    closing.throwIfAborted();
    const running = this.#running.get(job);
    if (running) await untilAborted(running.ended, signal);
    else await this.#begin(job, AbortSignal.any([closing, signal])).ended;
  }

  /** Tells what runs to end, and waits until it has. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#abort.abort();
    await Promise.allSettled(Array.from(this.#running.values(), ({ ended }) => ended));
  }

  #begin(job: Job, signal: AbortSignal): Run {
    const ended = (async () => {
      await job.run(signal);
    })();
    const run: Run = { ended, reported: undefined };
    this.#running.set(job, run);
    const forget = () => void this.#running.delete(job);
    ended.then(forget, forget);
    return run;
  }
}
