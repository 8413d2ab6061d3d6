/** The table of jobs: those that run, each with a way to end it, and the last of those that have ended. */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { inContext } from '../lib/request-context.ts';
import { AdminError } from './administration.ts';
import type { JobKind, JobView } from './views.ts';

/** What a job's view says of its kind alone. */
export type JobDetails = Pick<JobView, 'prefetch' | 'evict' | 'scrub' | 'purge'>;

export interface Work {
  readonly kind: JobKind;
  /** As far as it has come. */
  readonly details: () => JobDetails;
  /** To be ended by the signal, by resolving or rejecting. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export interface StartedJob {
  readonly id: string;
  readonly view: JobView;
  /** Settles as the work does. */
  readonly done: Promise<void>;
}

export interface JobTableOptions {
  readonly now: () => number;
  /** Told when a job has begun and when it has ended. @param cause why it failed */
  readonly onJob?: ((job: JobView, cause?: Error) => void) | undefined;
}

interface Entry {
  readonly id: string;
  readonly work: Work;
  readonly startedAt: number;
  readonly abort: AbortController;
  endedAt: number | undefined;
  state: JobView['state'];
  error: string | undefined;
  /** What it is from its end on: made once, for it may be large. */
  last: JobView | undefined;
}

const MAX_ENDED = 50;
const AT_ONCE: Readonly<Record<JobKind, number>> = { prefetch: 16, evict: 1, scrub: 1, check: 1, purge: 1 };

export class JobTable {
  readonly #options: JobTableOptions;
  /** The newest first. */
  readonly #entries: Entry[] = [];
  readonly #running = new Map<Entry, Promise<void>>();
  #isClosed = false;

  constructor(options: JobTableOptions) {
    this.#options = options;
  }

  /** @throws AdminError `conflict` where as many of the kind run as may */
  start(work: Work): StartedJob {
    if (this.#isClosed) throw new AdminError('conflict', 'the mirror is shutting down');
    const alike = [...this.#running.keys()].filter((entry) => entry.work.kind === work.kind);
    if (alike.length >= AT_ONCE[work.kind]) {
      throw new AdminError(
        'conflict',
        AT_ONCE[work.kind] === 1
          ? `the job ${alike[0]?.id ?? ''} is a ${work.kind} and still runs: wait for it, or cancel it`
          : `${alike.length} jobs of this kind run already: wait for one, or cancel it`,
      );
    }
    const abort = new AbortController();
    // Whatever a job waits for listens to it, which is some twenty at a time.
    setMaxListeners(0, abort.signal);
    const entry: Entry = {
      ...{ id: randomUUID().slice(0, 8), work, abort, startedAt: this.#options.now() },
      ...{ endedAt: undefined, state: 'running', error: undefined, last: undefined },
    };
    this.#entries.unshift(entry);
    this.#options.onJob?.(viewOf(entry));
    // Begun in a later turn, so that it runs and is known even if it fails at once.
    const done = Promise.resolve().then(() => {
      abort.signal.throwIfAborted();
      // What is asked of upstream for it has its id, as for a client's request.
      return inContext({ id: entry.id }, () => work.run(abort.signal));
    });
    this.#running.set(entry, this.#follow(entry, done));
    return { id: entry.id, view: viewOf(entry), done };
  }

  list(): readonly JobView[] {
    return this.#entries.map(viewOf);
  }

  /** @throws AdminError `unknown` */
  get(id: string): JobView {
    return viewOf(this.#find(id));
  }

  /** It goes on to run until it has noticed. @throws AdminError `unknown`, or `conflict` where it has ended */
  cancel(id: string): JobView {
    const entry = this.#find(id);
    if (entry.state !== 'running') throw new AdminError('conflict', `the job ${id} has ended already`);
    entry.abort.abort(new AdminError('conflict', 'the job was cancelled'));
    return viewOf(entry);
  }

  /** Cancels what runs; resolves when nothing does. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { abort } of this.#running.keys()) {
      abort.abort(new AdminError('conflict', 'the mirror is shutting down'));
    }
    await Promise.all(this.#running.values());
  }

  #find(id: string): Entry {
    const entry = this.#entries.find((candidate) => candidate.id === id);
    if (!entry) throw new AdminError('unknown', `there is no job ${JSON.stringify(id.slice(0, 100))}`);
    return entry;
  }

  async #follow(entry: Entry, done: Promise<void>): Promise<void> {
    let cause: Error | undefined;
    try {
      await done;
      entry.state = 'succeeded';
    } catch (error) {
      cause = error as Error;
      entry.state = 'failed';
      entry.error = cause.message;
    }
    if (entry.abort.signal.aborted) {
      entry.state = 'cancelled';
      entry.error = undefined;
      cause = undefined;
    }
    entry.endedAt = this.#options.now();
    entry.last = viewOf(entry);
    this.#running.delete(entry);
    this.#forgetOldest();
    this.#options.onJob?.(viewOf(entry), cause);
  }

  #forgetOldest(): void {
    const ended = this.#entries.filter(({ state }) => state !== 'running');
    for (const entry of ended.slice(MAX_ENDED)) this.#entries.splice(this.#entries.indexOf(entry), 1);
  }
}

function viewOf({ id, work, state, startedAt, endedAt, error, last }: Entry): JobView {
  if (last) return last;
  return {
    ...{ id, kind: work.kind, state, startedAt: new Date(startedAt).toISOString() },
    ...(endedAt === undefined ? {} : { endedAt: new Date(endedAt).toISOString() }),
    ...(error === undefined ? {} : { error }),
    ...work.details(),
  };
}
