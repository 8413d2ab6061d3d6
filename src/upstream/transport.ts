/**
 * One HTTP request to one host: no compression, no redirects, and nothing sent to a host that does not answer or wants
 * no more. What an answer means is for others.
 */
import { errors } from 'undici';
import type { ByteSource } from '../lib/byte-source.ts';
import { readBounded } from './bounded-read.ts';
import { Circuits, type Attempt, type CircuitChange } from './circuits.ts';
import { Connections, type ConnectionsOptions } from './connections.ts';
import type { RawAnswer } from './dispatch-blob.ts';
import { RefusedAddressError } from './guarded-connector.ts';
import {
  failed,
  headerOf,
  reasonOf,
  type ExchangeKind,
  type HttpAnswer,
  type HttpRequest,
} from './http-answer.ts';
import { onBehalf } from './on-behalf.ts';
import { Pauses } from './pauses.ts';
import { parseRetryAfter } from './rate-limit.ts';
import { UpstreamError, type Circuit, type UpstreamFailure } from './upstream.ts';

/** One exchange with one host, up to the headers of its answer. */
export interface ExchangeEvent {
  readonly kind: ExchangeKind;
  readonly method: 'GET' | 'HEAD';
  /** With the port, where it is not the scheme's own. */
  readonly host: string;
  /** Of the answer; undefined where there was none, and then `failure` says why. */
  readonly status: number | undefined;
  /** `circuit-open` and `paused`: it was not even asked, for it has not answered lately, or has named a time. */
  readonly failure: UpstreamFailure | 'aborted' | 'circuit-open' | 'paused' | undefined;
  readonly durationMs: number;
  /** Of the client's request that it was for, if it was for one. */
  readonly requestId?: string | undefined;
}

export interface TransportOptions extends ConnectionsOptions {
  readonly observe?: ((event: ExchangeEvent) => void) | undefined;
  /** Called when a host is given up for a while, when it is tried again, and when it answers. */
  readonly onCircuit?: ((change: CircuitChange) => void) | undefined;
  readonly now?: () => number;
  readonly random?: () => number;
}

type Outcome = Pick<Partial<ExchangeEvent>, 'status' | 'failure'>;

const MAX_ERROR_BYTES = 64 * 1024;
/** What is said before, or in the place of, a registry that is away. */
const AWAY: readonly number[] = [502, 503, 504];

export class Transport {
  readonly #connections: Connections;
  readonly #observe: (event: ExchangeEvent) => void;
  readonly #now: () => number;
  readonly #circuits: Circuits;
  readonly #pauses: Pauses;

  constructor(options: TransportOptions) {
    this.#connections = new Connections(options);
    this.#observe = options.observe ?? (() => undefined);
    this.#now = options.now ?? Date.now;
    const onChange = options.onCircuit ?? (() => undefined);
    this.#circuits = new Circuits({ now: this.#now, random: options.random ?? Math.random, onChange });
    this.#pauses = new Pauses(this.#now);
  }

  get circuits(): readonly Circuit[] {
    return this.#circuits.states;
  }

  /** Resolves with whatever the host answers. @throws UpstreamError where it does not, or the signal's reason */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { statusCode: status, headers, body } = await this.#admitted(request);
    const isSuccess = status >= 200 && status < 300;
    const encoding = headers['content-encoding'] ?? 'identity';
    if (isSuccess && encoding !== 'identity') {
      body.destroy();
      throw failed(request, 'protocol', `the answer has a Content-Encoding (${encoding})`);
    }
    const text = isSuccess && request.method === 'GET' ? '' : await beginningOf(body);
    request.signal?.throwIfAborted();
    return { request, status, headers, body, text };
  }

  /** Ends all connections, and with them what still runs on them. */
  async close(): Promise<void> {
    await this.#connections.close();
  }

  /** Asks, unless it is known to be in vain, and remembers how that went. */
  async #admitted(request: HttpRequest): Promise<RawAnswer> {
    const pausedSeconds = this.#pauses.secondsLeft(request);
    if (pausedSeconds !== undefined) {
      this.#observe(eventOf(request, { failure: 'paused' }));
      const text = `not asked, because it allows no more of this for another ${pausedSeconds} s`;
      throw failed(request, 'rate-limited', text, { retryAfterSeconds: pausedSeconds });
    }
    const circuit = this.#circuits.of(request.url);
    using attempt = circuit.attempt();
    if (attempt === undefined) {
      this.#observe(eventOf(request, { failure: 'circuit-open' }));
      const { since, askedAgainInSeconds, cause } = circuit.outage;
      const text = `it has not answered since ${new Date(since).toISOString()}`;
      throw failed(request, 'unreachable', `${text}; it is asked again in ${askedAgainInSeconds} s`, {
        cause,
        retryAfterSeconds: askedAgainInSeconds,
      });
    }
    const answer = await this.#observed(request, attempt);
    const isOfAnother = speaksOfAnother(answer);
    judge(attempt, request, isOfAnother ? 200 : answer.statusCode);
    if (answer.statusCode === 429 && !isOfAnother) {
      const seconds = parseRetryAfter(headerOf(answer, 'retry-after'), this.#now());
      if (seconds !== undefined) this.#pauses.begin(request, seconds);
    }
    return answer;
  }

  async #observed(request: HttpRequest, attempt: Attempt): Promise<RawAnswer> {
    const startedAt = performance.now();
    const { headers, requestId, ended } = onBehalf(request);
    const observe = (outcome: Outcome) => {
      ended(outcome);
      this.#observe({ ...eventOf(request, outcome, performance.now() - startedAt), requestId });
    };
    const sent = this.#connections.send({ ...request, headers });
    let answer: RawAnswer;
    try {
      answer = await sent.answer;
    } catch (cause) {
      if (request.signal?.aborted === true) {
        const reason: unknown = request.signal.reason;
        const isLate = reason instanceof UpstreamError && reason.failure === 'unreachable';
        observe({ failure: isLate ? 'unreachable' : 'aborted' });
        // Of one that was queued, the host knows nothing.
        if (isLate && !sent.isQueued()) attempt.fail(reason);
        throw reason;
      }
      const isWrong = cause instanceof errors.HTTPParserError || cause instanceof RefusedAddressError;
      const failure = isWrong ? 'protocol' : 'unreachable';
      observe({ failure });
      const error = failed(request, failure, reasonOf(cause), { cause });
      // What is no HTTP came from someone who is there, and at once: to leave him alone saves nobody a wait.
      if (!isWrong && !(cause instanceof errors.ClientDestroyedError)) attempt.fail(error);
      throw error;
    }
    observe({ status: answer.statusCode });
    return answer;
  }
}

/** What an answer says of its host. */
function judge(attempt: Attempt, request: HttpRequest, status: number): void {
  // A CDN that has lost one blob must not be cut off from all others, nor does it show that they are well.
  if (request.kind === 'blob' && status >= 500) return;
  if (AWAY.includes(status)) attempt.fail(failed(request, 'unreachable', String(status)));
  else attempt.succeed();
}

/**
 * A mirror like this one, as our upstream, says by it (RFC 9209) that it is well, and that what stands behind it is not:
 * what it has cached can be asked for all the same. Of a CDN it would say nothing of the kind.
 */
function speaksOfAnother(answer: RawAnswer): boolean {
  return /(^|,\s*)entrepot;\s*error=/.test(headerOf(answer, 'proxy-status') ?? '');
}

function eventOf(
  { kind, method, url }: HttpRequest,
  { status, failure }: Outcome,
  durationMs = 0,
): ExchangeEvent {
  return { kind, method, host: url.host, status, failure, durationMs };
}

/** Of a body that says why there is no other; where it breaks off, what came of it does as well. */
async function beginningOf(body: ByteSource): Promise<string> {
  try {
    return (await readBounded(body, MAX_ERROR_BYTES)).bytes.toString('utf8');
  } catch {
    return '';
  }
}
