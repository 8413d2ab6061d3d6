/** Holds work to a number of bytes a second. */

/** Shorter pauses are put off and added up: a timer is not more exact. */
const MIN_PAUSE_MS = 5;
/** What the work itself and late timers take is made up for, as long as it is no more than that. */
const MAX_CREDIT_MS = 100;

export interface ByteRateOptions {
  readonly bytesPerSecond: number;
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** One that nobody sets. */
  readonly clock?: () => number;
}

export class ByteRate {
  readonly #bytesPerSecond: number;
  readonly #pause: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly #clock: () => number;
  #paidUntil = -Infinity;

  constructor({ bytesPerSecond, pause, clock = () => performance.now() }: ByteRateOptions) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#pause = pause;
    this.#clock = clock;
  }

  /** Resolves when that many bytes may be followed by others. Idle time is not saved up. */
  async spend(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock();
    this.#paidUntil = Math.max(this.#paidUntil, now - MAX_CREDIT_MS) + (bytes * 1000) / this.#bytesPerSecond;
    const ms = this.#paidUntil - now;
    if (ms >= MIN_PAUSE_MS) await this.#pause(ms, signal);
  }
}
