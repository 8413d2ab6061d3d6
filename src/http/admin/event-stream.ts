/**
 * Tells all who listen what has changed, as server-sent events: one look serves all of them, and while nobody listens
 * nobody looks. Whoever asks by polling gets the same from the routes.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Actions, Overview } from '../../admin/administration.ts';
import type { Events, JobView } from '../../admin/views.ts';
import { AdminRefusal } from './refusal.ts';

export interface EventStreamOptions {
  readonly overview: Overview;
  readonly actions: Pick<Actions, 'jobs'>;
  /** Hears why a look failed, which ends all streams. */
  readonly onError: (error: unknown) => void;
  readonly pace?: Partial<Pace> | undefined;
}

export interface Pace {
  /** At what is in memory. */
  readonly lookMs: number;
  /** At the state, which takes reading. */
  readonly stateMs: number;
  /** So that whatever stands between sees that the connection lives. */
  readonly heartbeatMs: number;
  readonly maxListeners: number;
}

const PACE: Pace = {
  lookMs: 500,
  stateMs: 2000,
  heartbeatMs: 15_000,
  maxListeners: 32,
};

const ENDED_JOBS = 5;

type Told = Map<keyof Events, string>;

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #pace: Pace;
  /** With what each was told last. Those that have no headers yet wait for the first state. */
  readonly #listeners = new Map<ServerResponse, Told>();
  /** What there was when it was last looked at: as it is sent, and what of it has to change to be sent again. */
  readonly #seen = new Map<keyof Events, { readonly data: string; readonly compared: string }>();
  #timers: readonly NodeJS.Timeout[] = [];
  #reading: Promise<void> | undefined;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#pace = { ...PACE, ...options.pace };
  }

  /** @throws AdminRefusal 503 where too many listen; and whatever the first look throws, before anything is sent */
  async join(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { maxListeners } = this.#pace;
    if (this.#listeners.size >= maxListeners) {
      throw new AdminRefusal(503, `${maxListeners} listen already`, { headers: { 'Retry-After': '10' } });
    }
    if (request.method === 'HEAD') {
      sendHead(response);
      response.end();
      return;
    }
    const told: Told = new Map();
    this.#listeners.set(response, told);
    response.once('close', () => this.#leave(response));
    response.on('drain', () => this.#tell(response, told));
    if (this.#listeners.size === 1) this.#begin();
    try {
      this.#look();
      if (!this.#seen.has('state')) await this.#readState();
    } catch (error) {
      this.#leave(response);
      throw error;
    }
    if (response.destroyed) return;
    sendHead(response);
    this.#tell(response, told);
  }

  #begin(): void {
    const { lookMs, stateMs, heartbeatMs } = this.#pace;
    const orFail = (look: () => void | Promise<void>) => () =>
      void Promise.resolve()
        .then(look)
        .catch((error: unknown) => this.#fail(error));
    this.#timers = [
      setInterval(
        orFail(() => this.#look()),
        lookMs,
      ),
      setInterval(
        orFail(() => this.#readState()),
        stateMs,
      ),
      setInterval(() => this.#beat(), heartbeatMs),
    ];
  }

  #leave(response: ServerResponse): void {
    this.#listeners.delete(response);
    if (this.#listeners.size > 0) return;
    for (const timer of this.#timers) clearInterval(timer);
    // Whoever comes next is not told what is long over.
    this.#seen.clear();
  }

  /** They come back, and are told then what is wrong. */
  #fail(error: unknown): void {
    if (this.#listeners.size === 0) return;
    this.#options.onError(error);
    for (const response of this.#listeners.keys()) response.destroy();
  }

  #look(): void {
    const { overview, actions } = this.#options;
    this.#changed('downloads', overview.downloads());
    this.#changed('jobs', withoutOldest(actions.jobs()));
    this.#changed('troubles', overview.troubles());
  }

  #readState(): Promise<void> {
    const read = async () => {
      const state = await this.#options.overview.state();
      // It is another time each time.
      if (this.#listeners.size > 0) this.#changed('state', state, { ...state, now: '' });
    };
    this.#reading ??= read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  #changed<Name extends keyof Events>(name: Name, value: Events[Name], comparable = value): void {
    const compared = JSON.stringify(comparable);
    if (this.#seen.get(name)?.compared === compared) return;
    const data = comparable === value ? compared : JSON.stringify(value);
    // Behind the others: what changes all the time keeps no slow listener from the rest.
    this.#seen.delete(name);
    this.#seen.set(name, { data, compared });
    for (const [response, told] of this.#listeners) this.#tell(response, told);
  }

  /** What it does not know yet. One that has not taken what came before is told when it has, of how it is then. */
  #tell(response: ServerResponse, told: Told): void {
    if (!response.headersSent) return;
    for (const [name, { data }] of this.#seen) {
      if (response.writableNeedDrain) return;
      if (told.get(name) === data) continue;
      told.set(name, data);
      // JSON has no line breaks of its own.
      response.write(`event: ${name}\ndata: ${data}\n\n`);
    }
  }

  /** Not to one that takes nothing: how long that may last, the server knows. */
  #beat(): void {
    for (const response of this.#listeners.keys()) {
      if (response.headersSent && !response.writableNeedDrain) response.write(':\n\n');
    }
  }
}

/** A prefetch may have thousands of blobs, and all of this goes out anew whenever one of them has come further. */
function withoutOldest(jobs: readonly JobView[]): readonly JobView[] {
  const ended = jobs.filter(({ state }) => state !== 'running');
  const oldest = new Set(ended.slice(ENDED_JOBS));
  return jobs.filter((job) => !oldest.has(job));
}

function sendHead(response: ServerResponse): void {
  response.setHeader('Content-Type', 'text/event-stream');
  // nginx would keep events back until its buffer is full.
  response.setHeader('X-Accel-Buffering', 'no');
  response.flushHeaders();
}
