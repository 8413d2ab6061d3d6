/**
 * A number of places for work that is done at once, and a queue for the rest in which every key takes its turn: one
 * that asks for a thousand does not keep the others waiting behind them.
 */

interface Waiter {
  readonly admit: (place: Disposable) => void;
}

export class FairQueue {
  readonly #places: number;
  #taken = 0;
  #waiting = 0;
  /** In the order in which it is their turn; each has at least one waiter. */
  readonly #queues = new Map<string, Set<Waiter>>();

  constructor(places: number) {
    this.#places = places;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Resolves to a place, to be given back by disposing it; rejects with the signal's reason, and then leaves the queue. */
  enter(key: string, signal: AbortSignal): Promise<Disposable> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    const place = this.tryEnter();
    if (place) return Promise.resolve(place);
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#remove(key, waiter);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        admit: (place) => {
          signal.removeEventListener('abort', leave);
          resolve(place);
        },
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#add(key, waiter);
    });
  }

  /** A place where one is free now. */
  tryEnter(): Disposable | undefined {
    return this.#taken < this.#places ? this.#take() : undefined;
  }

  #take(): Disposable {
    this.#taken += 1;
    let isGivenBack = false;
    return {
      [Symbol.dispose]: () => {
        if (isGivenBack) return;
        isGivenBack = true;
        this.#taken -= 1;
        this.#admitNext();
      },
    };
  }

  #admitNext(): void {
    const [next] = this.#queues;
    if (!next) return;
    const [key, waiters] = next;
    const [waiter] = waiters;
    if (!waiter) throw new Error('a queue without a waiter is kept');
    this.#remove(key, waiter);
    // Who has more waiting goes to the end.
    if (this.#queues.delete(key)) this.#queues.set(key, waiters);
    waiter.admit(this.#take());
  }

  #add(key: string, waiter: Waiter): void {
    this.#waiting += 1;
    const waiters = this.#queues.get(key);
    if (waiters) waiters.add(waiter);
    else this.#queues.set(key, new Set([waiter]));
  }

  #remove(key: string, waiter: Waiter): void {
    const waiters = this.#queues.get(key);
    if (!waiters?.delete(waiter)) return;
    this.#waiting -= 1;
    if (waiters.size === 0) this.#queues.delete(key);
  }
}
