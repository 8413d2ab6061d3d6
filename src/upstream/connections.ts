/** The connections to all hosts of an upstream, on undici: bounded for each, with timeouts, used again, HTTP/1.1. */
import { Agent, errors, type Dispatcher } from 'undici';
import { untilAborted } from '../lib/single-flight.ts';
import { dispatchBlob, type RawAnswer } from './dispatch-blob.ts';
import { pieceBuffers } from './gathered-body.ts';
import { guardedConnector, type ConnectorOptions, type OwnNetworks } from './guarded-connector.ts';
import type { HttpRequest } from './http-answer.ts';
import { ReadBuffers } from './read-buffers.ts';

export interface ConnectionsOptions extends ConnectorOptions {
  /** At once, per origin, for blobs; short questions have some of their own, never more than that. */
  readonly maxConnections: number;
  readonly headersTimeoutMs: number;
  /** The longest silence within a body. */
  readonly bodyTimeoutMs: number;
  readonly userAgent: string;
}

/** A request on its way. */
export interface Sent {
  /** Fails as undici does, or with the signal's reason. */
  readonly answer: Promise<RawAnswer>;
  /** Whether it waits, or waited to its end, for others of ours to be done with their connections. */
  isQueued(): boolean;
}

/** A tag must not wait for an hour behind layers that fill every connection. */
const MAX_QUESTION_CONNECTIONS = 16;

export class Connections {
  readonly #blobs: Agent;
  readonly #questions: Agent;
  readonly #userAgent: string;
  readonly #reads = new ReadBuffers();
  readonly #pieces = pieceBuffers();

  constructor(options: ConnectionsOptions) {
    const networks: OwnNetworks = new Set();
    const agent = (connections: number, connect: ReturnType<typeof guardedConnector>) =>
      new Agent({
        connections,
        connect,
        headersTimeout: options.headersTimeoutMs,
        bodyTimeout: options.bodyTimeoutMs,
        allowH2: false,
      });
    const { maxConnections } = options;
    this.#blobs = agent(maxConnections, guardedConnector(options, networks, this.#reads.socketOptions));
    const forQuestions = Math.min(maxConnections, MAX_QUESTION_CONNECTIONS);
    this.#questions = agent(forQuestions, guardedConnector(options, networks));
    this.#userAgent = options.userAgent;
  }

  send({ kind, method, url, headers, signal }: HttpRequest): Sent {
    const isForBlob = kind === 'blob' && method === 'GET';
    const agent = isForBlob ? this.#blobs : this.#questions;
    const options: Dispatcher.RequestOptions = {
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers: { ...headers, 'accept-encoding': 'identity', 'user-agent': this.#userAgent },
      // undici would close the connection behind every HEAD, and tags are revalidated by HEAD.
      reset: false,
    };
    let isOnConnection = false;
    const onConnection = () => void (isOnConnection = true);
    const ask = () => {
      const answer = isForBlob
        ? dispatchBlob(agent, options, { reads: this.#reads, pieces: this.#pieces, signal, onConnection })
        : request(telling(agent, onConnection), { ...options, signal: signal ?? null });
      // undici looks at the signal only once the request has a connection: without this it would wait on.
      return signal === undefined ? answer : untilAborted(answer, signal);
    };
    return {
      answer: ask().catch((error: unknown) => {
        // The host closed an idle connection just as we used it again: it has not read the request (RFC 9110, 9.2.2).
        const wasInUse = error instanceof errors.SocketError && (error.socket?.bytesRead ?? 0) > 0;
        if (!wasInUse) throw error;
        return ask();
      }),
      // Where there are no connections at all, none can be made.
      isQueued: () => !isOnConnection && Boolean(agent.stats[url.origin]?.connected),
    };
  }

  /** Ends all, and with them what still runs on them. */
  async close(): Promise<void> {
    await Promise.all([this.#blobs.destroy(), this.#questions.destroy()]);
  }
}

/** The agent, but for telling when what it is asked has got a connection. */
function telling(agent: Agent, onConnection: () => void): Dispatcher {
  return agent.compose((dispatch) => (options, handler) => {
    const start = handler.onRequestStart?.bind(handler);
    handler.onRequestStart = (controller, context) => {
      onConnection();
      start?.(controller, context);
    };
    return dispatch(options, handler);
  });
}

async function request(dispatcher: Dispatcher, options: Dispatcher.RequestOptions): Promise<RawAnswer> {
  const answer = await dispatcher.request(options);
  // destroy() is an error to undici's bodies, even without one: nobody should have to listen for it.
  answer.body.on('error', () => undefined);
  return answer;
}
