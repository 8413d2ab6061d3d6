/**
 * Which requests a host has limited (429) and for how long: until then they are not sent, only to be refused again. By
 * kind and method: Docker Hub still answers HEADs of manifests when it refuses their GETs.
 */
import { LRUCache } from 'lru-cache';
import { timeLeft } from '../lib/time-left.ts';
import type { HttpRequest } from './http-answer.ts';

interface Pause {
  readonly since: number;
  /** As the host would have it. */
  readonly saidMs: number;
}

const MAX_PAUSES = 500;
/** Where a host names hours, it is asked now and then all the same: who pulls may have bought more meanwhile. */
const MAX_PAUSE_MS = 5 * 60_000;

export class Pauses {
  readonly #now: () => number;
  readonly #pauses = new LRUCache<string, Pause>({ max: MAX_PAUSES });

  constructor(now: () => number) {
    this.#now = now;
  }

  begin(request: HttpRequest, retryAfterSeconds: number): void {
    this.#pauses.set(keyOf(request), { since: this.#now(), saidMs: retryAfterSeconds * 1000 });
  }

  /** What is left of the time that the host gave; undefined where the request may be sent. */
  secondsLeft(request: HttpRequest): number | undefined {
    const pause = this.#pauses.get(keyOf(request));
    if (pause === undefined) return undefined;
    const now = this.#now();
    if (timeLeft(Math.min(pause.saidMs, MAX_PAUSE_MS), pause.since, now) === 0) return undefined;
    return Math.ceil(timeLeft(pause.saidMs, pause.since, now) / 1000);
  }
}

function keyOf({ url, kind, method }: HttpRequest): string {
  return `${url.origin} ${kind} ${method}`;
}
