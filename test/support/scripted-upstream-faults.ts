/** What a test has scripted to go wrong or to wait, and for which of the next requests. */
import type { Reply } from './scripted-upstream-reply.ts';
import { matches, type Match, type RecordedRequest } from './scripted-upstream-request.ts';

/** Where in an answer something happens: after so many bytes of its body, or without any before its headers. */
interface Place {
  readonly afterBytes?: number;
}

/** All that is given happens. */
export interface Fault {
  /** Sent instead of the right answer. */
  readonly reply?: Reply;
  /**
   * Set, or taken away where undefined. Without `content-length` the body goes out chunked; with a wrong one the
   * connection ends behind the body.
   */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Makes another body of the right one, before a Range picks from it. */
  readonly body?: (bytes: Uint8Array) => Uint8Array;
  /** Answers 200 with the whole body. */
  readonly ignoresRange?: boolean;
  /** Compresses the body if the client's Accept-Encoding lets it. */
  readonly gzip?: boolean;
  /** Ends the connection; what a RST overtakes on its way is lost. */
  readonly cut?: Place & { readonly by: 'fin' | 'rst' };
  /** Sends nothing any more, until the connection ends. */
  readonly stall?: Place;
}

/** For `Fault.body`. */
export function flipByte(offset: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const copy = Uint8Array.from(bytes);
    copy[offset] = (copy[offset] ?? 0) ^ 0xff;
    return copy;
  };
}

/** Holds answers at one place, until a test lets them go. */
export class Gate {
  readonly afterBytes: number | undefined;
  readonly #released = Promise.withResolvers<undefined>();
  readonly #waiters: { readonly count: number; readonly resolve: () => void }[] = [];
  #arrivals = 0;

  constructor(place: Place) {
    this.afterBytes = place.afterBytes;
  }

  /** Resolves when the first answer has come this far. */
  get waiting(): Promise<void> {
    return this.arrived(1);
  }

  /** Resolves when so many answers have come this far. */
  arrived(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    if (this.#arrivals >= count) return Promise.resolve();
    this.#waiters.push({ count, resolve: () => resolve(undefined) });
    return promise;
  }

  /** Opens it for good. */
  release(): void {
    this.#released.resolve(undefined);
  }

  /** For the upstream: an answer has come this far. */
  pass(): Promise<void> {
    this.#arrivals += 1;
    for (const { count, resolve } of this.#waiters) if (this.#arrivals >= count) resolve();
    return this.#released.promise;
  }
}

interface Scripted<What> {
  readonly match: Match;
  readonly what: What;
  left: number;
}

export interface Course {
  readonly fault: Fault;
  readonly gates: readonly Gate[];
}

/**
 * Faults queue: a request takes the first that matches it, so two scripted alike meet two requests. Gates do not:
 * a request waits at all that match it. Neither meets a request that is refused with 401 (unless the match says that
 * status): which request of a token dance comes first shall not matter to a test. What is about a body meets no HEAD.
 */
export class Script {
  #faults: Scripted<Fault>[] = [];
  #gates: Scripted<Gate>[] = [];

  addFault(match: Match, fault: Fault, times: number): void {
    this.#faults.push({ match, what: fault, left: times });
  }

  addGate(match: Match, gate: Gate, times: number): void {
    this.#gates.push({ match, what: gate, left: times });
  }

  take(request: RecordedRequest, status: number): Course {
    const isMeant = ({ match }: Scripted<unknown>) =>
      (status !== 401 || match.status === 401) && matches({ ...request, status }, match);
    const hasBody = request.method !== 'HEAD';
    const fault = this.#faults.find((fault) => isMeant(fault) && (hasBody || !isAboutBody(fault.what)));
    const gates = this.#gates.filter(
      (gate) => isMeant(gate) && (hasBody || gate.what.afterBytes === undefined),
    );
    for (const scripted of [fault, ...gates]) if (scripted) scripted.left -= 1;
    this.#faults = this.#faults.filter(({ left }) => left > 0);
    this.#gates = this.#gates.filter(({ left }) => left > 0);
    return { fault: fault?.what ?? {}, gates: gates.map(({ what }) => what) };
  }

  clear(): void {
    this.#faults = [];
    for (const { what } of this.#gates) what.release();
    this.#gates = [];
  }
}

function isAboutBody({ body, ignoresRange, gzip, cut, stall }: Fault): boolean {
  const isInside = cut?.afterBytes !== undefined || stall?.afterBytes !== undefined;
  return isInside || body !== undefined || ignoresRange === true || gzip === true;
}
