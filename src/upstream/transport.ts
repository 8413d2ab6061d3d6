/**
 * One HTTP request to one host, on undici: bounded connections, timeouts, no compression, no redirects. What an answer
 * means is for others.
 */
import { Agent, errors, type Dispatcher } from 'undici';
import { readBounded } from './bounded-read.ts';
import { failed, reasonOf, type ExchangeKind, type HttpAnswer, type HttpRequest } from './http-answer.ts';
import type { UpstreamFailure } from './upstream.ts';

/** One exchange with one host, up to the headers of its answer. */
export interface ExchangeEvent {
  readonly kind: ExchangeKind;
  readonly method: 'GET' | 'HEAD';
  /** With the port, where it is not the scheme's own. */
  readonly host: string;
  /** Of the answer; undefined where there was none, and then `failure` says why. */
  readonly status: number | undefined;
  readonly failure: UpstreamFailure | 'aborted' | undefined;
  readonly durationMs: number;
}

export interface TransportOptions {
  /** At once, per origin, for blobs; short questions have some of their own, never more than that. */
  readonly maxConnections: number;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** The longest silence within a body. */
  readonly bodyTimeoutMs: number;
  readonly userAgent: string;
  readonly observe?: ((event: ExchangeEvent) => void) | undefined;
}

const MAX_ERROR_BYTES = 64 * 1024;
/** A tag must not wait for an hour behind layers that fill every connection. */
const MAX_QUESTION_CONNECTIONS = 16;

export class Transport {
  readonly #blobs: Agent;
  readonly #questions: Agent;
  readonly #userAgent: string;
  readonly #observe: (event: ExchangeEvent) => void;

  constructor(options: TransportOptions) {
    const agent = (connections: number) =>
      new Agent({
        connections,
        connect: { timeout: options.connectTimeoutMs },
        headersTimeout: options.headersTimeoutMs,
        bodyTimeout: options.bodyTimeoutMs,
        allowH2: false,
      });
    this.#blobs = agent(options.maxConnections);
    this.#questions = agent(Math.min(options.maxConnections, MAX_QUESTION_CONNECTIONS));
    this.#userAgent = options.userAgent;
    this.#observe = options.observe ?? (() => undefined);
  }

  /** Resolves with whatever the host answers. @throws UpstreamError where it does not, or the signal's reason */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { statusCode: status, headers, body } = await this.#observed(request);
    // destroy() is an error to undici's bodies, even without one: nobody should have to listen for it.
    body.on('error', () => undefined);
    const isSuccess = status >= 200 && status < 300;
    const encoding = headers['content-encoding'] ?? 'identity';
    if (isSuccess && encoding !== 'identity') {
      body.destroy();
      throw failed(request, 'protocol', `the answer has a Content-Encoding (${String(encoding)})`);
    }
    const text = isSuccess && request.method === 'GET' ? '' : await beginningOf(body);
    request.signal?.throwIfAborted();
    return { request, status, headers, body, text };
  }

  /** Ends all connections, and with them what still runs on them. */
  async close(): Promise<void> {
    await Promise.all([this.#blobs.destroy(), this.#questions.destroy()]);
  }

  async #observed(request: HttpRequest): Promise<Dispatcher.ResponseData> {
    const { kind, method, url, signal } = request;
    const startedAt = performance.now();
    const observe = (status: ExchangeEvent['status'], failure: ExchangeEvent['failure']) => {
      const durationMs = performance.now() - startedAt;
      this.#observe({ kind, method, host: url.host, status, failure, durationMs });
    };
    let answer: Dispatcher.ResponseData;
    try {
      answer = await this.#dispatch(request);
    } catch (cause) {
      const failure = cause instanceof errors.HTTPParserError ? 'protocol' : 'unreachable';
      observe(undefined, signal?.aborted === true ? 'aborted' : failure);
      signal?.throwIfAborted();
      throw failed(request, failure, reasonOf(cause), { cause });
    }
    observe(answer.statusCode, undefined);
    return answer;
  }

  async #dispatch({ kind, method, url, headers, signal }: HttpRequest): Promise<Dispatcher.ResponseData> {
    const options: Dispatcher.RequestOptions = {
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': this.#userAgent },
      signal: signal ?? null,
      // undici would close the connection behind every HEAD, and tags are revalidated by HEAD.
      reset: false,
    };
    const agent = kind === 'blob' && method === 'GET' ? this.#blobs : this.#questions;
    try {
      return await agent.request(options);
    } catch (error) {
      // The host closed an idle connection just as we used it again: it has not read the request (RFC 9110, 9.2.2).
      const wasInUse = error instanceof errors.SocketError && (error.socket?.bytesRead ?? 0) > 0;
      if (!wasInUse) throw error;
      return await agent.request(options);
    }
  }
}

/** Of a body that says why there is no other; where it breaks off, what came of it does as well. */
async function beginningOf(body: Dispatcher.ResponseData['body']): Promise<string> {
  try {
    return (await readBounded(body, MAX_ERROR_BYTES)).bytes.toString('utf8');
  } catch {
    return '';
  }
}
