/** One running promise per key: whoever asks for the same key meanwhile shares it. Results are not kept. */
export class SingleFlight<K, V> {
  readonly #running = new Map<K, Promise<V>>();

  /**
   * Starts `fn`, or joins the run that is on its way for this key; a run's failure is the failure of all who share it.
   * Lookup and start happen without an await between them.
   */
  run(key: K, fn: () => Promise<V>): Promise<V> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const started = fn().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}

/**
 * Waits for a shared promise until the signal is aborted, and then leaves with its reason: the promise goes on for
 * the others, and may fail without anybody listening.
 */
export function untilAborted<V>(promise: Promise<V>, signal: AbortSignal): Promise<V> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason as Error);
    const stay = () => signal.removeEventListener('abort', leave);
    promise.finally(stay).then(resolve, reject);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
}
