/** Chance that can be had again: the same seed makes the same choices, on any machine. */
import { createHash } from 'node:crypto';

export class Random {
  readonly seed: string;
  #state: [number, number, number, number];

  constructor(seed: string) {
    this.seed = seed;
    const hash = createHash('sha256').update(seed).digest();
    this.#state = [hash.readInt32LE(0), hash.readInt32LE(4), hash.readInt32LE(8), hash.readInt32LE(12)];
  }

  /** From 0 up to, and without, `end`. */
  below(end: number): number {
    return Math.floor((this.#next() / 2 ** 32) * end);
  }

  /** Both ends included. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  chance(probability: number): boolean {
    return this.#next() < probability * 2 ** 32;
  }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new RangeError('there is nothing to choose from');
    return choices[this.below(choices.length)] as T;
  }

  /** As many as that. */
  list<T>(length: number, make: (index: number) => T): T[] {
    return Array.from({ length }, (_, index) => make(index));
  }

  /** sfc32, by Chris Doty-Humphrey (PractRand). */
  #next(): number {
    const [a, b, c, counter] = this.#state;
    const result = (a + b + counter) | 0;
    this.#state = [b ^ (b >>> 9), (c + (c << 3)) | 0, ((c << 21) | (c >>> 11)) + result, (counter + 1) | 0];
    this.#state[2] |= 0;
    return result >>> 0;
  }
}
