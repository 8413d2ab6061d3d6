/** Work that comes round by itself: never twice at once, ended when the process ends. */

export interface Job {
  readonly name: string;
  run(signal: AbortSignal): Promise<unknown>;
}

export class JobRunner {
  readonly #abort = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #running = new Map<Job, Promise<void>>();
  readonly #onError: (job: Job, error: Error) => void;

  constructor(onError: (job: Job, error: Error) => void) {
    this.#onError = onError;
  }

  /** The first run is due after one interval. */
  start(job: Job, intervalMs: number): void {
    this.#timers.push(setInterval(() => void this.runNow(job), intervalMs).unref());
  }

  /** Joins the run that is under way, if there is one; does nothing once it is closed. */
  runNow(job: Job): Promise<void> {
    const running = this.#running.get(job);
    if (running) return running;
    if (this.#abort.signal.aborted) return Promise.resolve();
    const run = this.#guarded(job).finally(() => this.#running.delete(job));
    this.#running.set(job, run);
    return run;
  }

  /** Tells what runs to end, and waits until it has. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#abort.abort();
    await Promise.all(this.#running.values());
  }

  /** A job that fails is due again; it does not take the process with it. */
  async #guarded(job: Job): Promise<void> {
    try {
      await job.run(this.#abort.signal);
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#onError(job, error as Error);
    }
  }
}
