/** Who has asked for something lately: so many as fit, those that asked last. */
import { LRUCache } from 'lru-cache';

export interface SeenClient {
  readonly address: string;
  readonly userAgent: string;
  readonly requests: number;
  /** Milliseconds since the epoch. */
  readonly lastSeenAt: number;
}

interface Seen {
  readonly address: string;
  readonly userAgent: string;
  requests: number;
  lastSeenAt: number;
}

const MAX_CLIENTS = 500;
/** As much as tells clients apart; the rest of what somebody sends is not kept. */
const MAX_AGENT_CHARS = 200;

export class ClientsSeen {
  readonly #byKey = new LRUCache<string, Seen>({ max: MAX_CLIENTS });
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** On the way of every request: a look into a map, and two numbers. */
  note(address = '', agent = ''): void {
    const userAgent = agent.length > MAX_AGENT_CHARS ? agent.slice(0, MAX_AGENT_CHARS) : agent;
    const key = `${address} ${userAgent}`;
    const known = this.#byKey.get(key);
    if (known === undefined) {
      this.#byKey.set(key, { address, userAgent, requests: 1, lastSeenAt: this.#now() });
      return;
    }
    known.requests += 1;
    known.lastSeenAt = this.#now();
  }

  /** The last one first. */
  list(): readonly SeenClient[] {
    return Array.from(this.#byKey.values(), (seen) => ({ ...seen }));
  }
}
