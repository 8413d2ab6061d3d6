/**
 * The records of requests that a worker passed on. What was asked for and how it was served, the keeper knows; what
 * reached the client, and when that was over, the worker: one record is made of both, and told once.
 */
import type { Origin, RequestRecord } from '../http/request-record.ts';
import type { Ending } from './messages.ts';

/** What a worker says of a request that it passes on. */
export interface PassedOn {
  readonly id: string;
  readonly worker: number;
  /** The client's address. */
  readonly client: string | undefined;
  /** Asks for the rest of what another began: no request of a client's. */
  readonly isRest: boolean;
}

/** Marks the record of such a one. */
const REST = 'rest of ';

/** A client that leaves at once may be reported before its request comes here, on another way. */
const EARLY_MS = 1000;

/** Of a request whose client left before it came here. */
const UNKNOWN: RequestRecord = {
  ...{ id: '', method: '', route: 'none', bytes: 0, status: 499 },
  ...{ isAborted: true, durationMs: 0, client: undefined, userAgent: undefined },
};

interface Open {
  readonly worker: number;
  isBegun: boolean;
  /** Nobody will say how it ended. */
  isLost: boolean;
  readonly ended: PromiseWithResolvers<undefined>;
  record?: RequestRecord;
  ending?: Ending;
  /** Why the rest could not be had either. */
  failure?: Pick<RequestRecord, 'error' | 'errorCode'>;
}

export class SharedRecords {
  readonly #observe: (record: RequestRecord) => void;
  readonly #open = new Map<string, Open>();
  /** Workers that are gone: what they passed on last may come in later than that. */
  readonly #lost = new Set<number>();

  /** @param observe hears of each request once */
  constructor(observe: (record: RequestRecord) => void) {
    this.#observe = observe;
  }

  /** To be called when a request comes in from a worker; what it returns is for the request's record. */
  begin({ id, worker, client, isRest }: PassedOn): Origin {
    if (isRest) return { id: REST + id, client };
    this.#find(id, worker).isBegun = true;
    return { id, client };
  }

  /** Resolves when the client has its answer, or has gone. */
  async ended(id: string): Promise<void> {
    await this.#open.get(id)?.ended.promise;
  }

  /** Our answer to the worker is over. */
  readonly answered = (record: RequestRecord): void => {
    const isRest = record.id.startsWith(REST);
    const id = isRest ? record.id.slice(REST.length) : record.id;
    const open = this.#open.get(id);
    if (!open) return;
    const { error, errorCode } = record;
    if (!isRest) open.record = record;
    else if (error) open.failure = { error, ...(errorCode === undefined ? {} : { errorCode }) };
    this.#settle(id, open);
  };

  /** The worker's answer to the client is over. */
  reported(worker: number, ending: Ending): void {
    const open = this.#find(ending.id, worker);
    open.ending = ending;
    open.ended.resolve(undefined);
    if (open.isBegun) this.#settle(ending.id, open);
    else setTimeout(() => open.isBegun || this.#tell(ending.id, open), EARLY_MS).unref();
  }

  /** The worker is gone, and its clients' connections with it. */
  lost(worker: number): void {
    this.#lost.add(worker);
    for (const [id, open] of this.#open) {
      if (open.worker !== worker) continue;
      open.isLost = true;
      open.ended.resolve(undefined);
      if (open.isBegun) this.#settle(id, open);
      else this.#tell(id, open);
    }
  }

  #find(id: string, worker: number): Open {
    const known = this.#open.get(id);
    if (known) return known;
    const open = {
      worker,
      isBegun: false,
      isLost: this.#lost.has(worker),
      ended: Promise.withResolvers<undefined>(),
    };
    this.#open.set(id, open);
    return open;
  }

  #settle(id: string, open: Open): void {
    if (open.record && (open.ending || open.isLost)) this.#tell(id, open);
  }

  #tell(id: string, { record, ending, failure }: Open): void {
    if (!this.#open.delete(id)) return;
    if (!record && !ending) return;
    const { failure: workers, ...known } = ending ?? {};
    // What went wrong here is why it went wrong there.
    const error =
      failure?.error ?? record?.error ?? (workers === undefined ? undefined : workerError(workers));
    const whole = { ...UNKNOWN, ...record, isAborted: true, ...failure, ...known };
    this.#observe(error ? { ...whole, error } : whole);
  }
}

function workerError(stack: string): Error {
  const error = new Error(stack.split('\n', 1)[0]);
  error.stack = stack;
  return error;
}
